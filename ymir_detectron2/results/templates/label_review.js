"use strict";
// Suspicious labels: each of the first ones in its image, with what the model found there.
(() => {
  const { images } = page.data("labels");
  if (!images.length) return;
  const LABELLED = "#ffd400";
  const FOUND = "#2ee6a6";

  const draw = index => {
    const image = images[index];
    const boxes = [];
    if (image.label) boxes.push({ ...image.label, colour: LABELLED, dashed: true, below: true });
    if (image.found) boxes.push({ ...image.found, colour: FOUND });
    return page.drawImage(image, boxes, ...image.lines);
  };

  const entry = (colour, name, dashed) => {
    const sample = page.svg("svg", { width: 26, height: 15 }, page.svg("rect", { x: 2, y: 2, width: 22, height: 11, class: dashed ? "key dashed" : "key", stroke: colour }));
    return page.element("span", {}, sample, " ", name);
  };
  page.byId("labels-legend").replaceChildren(entry(LABELLED, "labelled", true), entry(FOUND, "found by the model, or the label that covers it"));
  page.gallery(page.byId("labels-gallery"), images.length, draw);
})();
