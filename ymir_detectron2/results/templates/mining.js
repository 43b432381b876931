"use strict";
// Mining: the galleries of the images that come first and last, and the histogram of the scores.
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
})();
