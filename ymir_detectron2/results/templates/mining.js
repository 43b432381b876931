"use strict";
// Mining: the galleries of the images that come first and last, the histogram of the scores, and where the labels go.
(() => {
  const data = page.data("mining");
  const DETECTED = "#3cdc3c";
  const augmentations = [...new Set(data.first.flatMap(image => image.boxes.map(box => box.augmentation)))].filter(name => name);
  const colour = name => (name ? page.colour(1 + augmentations.indexOf(name)) : DETECTED);

  const draw = images => index => {
    const image = images[index];
    const boxes = image.boxes.map(box => {
      const isMatch = box.augmentation !== "";
      return { ...box, colour: colour(box.augmentation), dashed: isMatch, below: isMatch };
    });
    // the line of an augmentation begins with its name
    const lines = image.lines.map(text => {
      const name = augmentations.find(one => text.startsWith(`${one} `));
      return name ? { text, colour: colour(name) } : text;
    });
    return page.drawImage(image, boxes, ...lines);
  };

  page.gallery(page.byId("mining-first"), data.first.length, draw(data.first));
  if (data.last.length) page.gallery(page.byId("mining-last"), data.last.length, draw(data.last));
  const { counts, from, to } = data.histogram;
  if (counts.length) page.bars(page.byId("mining-scores"), { counts, from, to, xLabel: "score", yLabel: "images" });
  if (data.shares) drawShares(data.shares);

  function drawShares({ cuts, rows, novelty }) {
    const { element } = page;
    const heading = (cut, index) => (index < cuts.length - 1 ? `first ${page.number(cut)}` : `all ${page.number(cut)}`);
    const head = [element("th", {}, "class"), ...cuts.map((cut, index) => element("th", { class: "figure" }, heading(cut, index)))];
    const body = rows.map(([name, counts]) => element("tr", {}, element("td", {}, name), ...counts.map((count, index) => shareCell(count, cuts[index]))));
    page.byId("mining-shares").append(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
    if (!novelty.length) return;
    page.plot(page.byId("mining-novelty"), { series: [{ name: "novelty", points: novelty }], xLabel: "rank", yLabel: "novelty" });
  }

  // how many images, and which share of those of the column, as a number and as a bar
  function shareCell(count, whole) {
    const share = whole ? (100 * count) / whole : 0;
    const cell = page.element("td", { class: "figure", title: `${page.number(count)} of ${page.number(whole)} images` });
    cell.style.setProperty("--share", `${share.toFixed(1)}%`);
    cell.append(`${share < 10 ? share.toFixed(1) : share.toFixed(0)} %`);
    return cell;
  }
})();
