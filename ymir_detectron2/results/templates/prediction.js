"use strict";
// Inference: the slider and the menus choose which boxes count, in all numbers and in the gallery.
(() => {
  const data = page.data("prediction");
  const ALL = -1;
  const filter = { threshold: 0, classIndex: ALL, show: "all", order: "number" };
  const [X, Y, W, H, CLASS, SCORE] = [0, 1, 2, 3, 4, 5];
  const step = () => Math.round(100 * filter.threshold);
  const sum = rows => rows.reduce((total, row) => total + row[step()], 0);

  const counts = box => box[SCORE] > filter.threshold && (filter.classIndex === ALL || box[CLASS] === filter.classIndex);
  const chosen = new Map(); // image -> its boxes that count

  const ORDERS = {
    number: (a, b) => a.number - b.number,
    most: (a, b) => chosen.get(b).length - chosen.get(a).length || a.number - b.number,
    best: (a, b) => best(b) - best(a) || a.number - b.number,
    doubtful: (a, b) => doubt(a) - doubt(b) || a.number - b.number,
  };
  const best = image => Math.max(-1, ...chosen.get(image).map(box => box[SCORE]));
  const doubt = image => Math.min(2, ...chosen.get(image).map(box => box[SCORE] - filter.threshold));

  function toDraw([x, y, w, h, classIndex, score]) {
    return { x, y, w, h, colour: page.colour(classIndex), label: `${data.classNames[classIndex]} ${score.toFixed(2)}` };
  }

  function showNumbers() {
    const isAll = filter.classIndex === ALL;
    const rows = isAll ? data.boxesAt : [data.boxesAt[filter.classIndex]];
    const withBox = isAll ? data.imagesWithBoxesAt[step()] : data.imagesAt[filter.classIndex][step()];
    page.byId("prediction-from").textContent = `with a score above ${filter.threshold.toFixed(2)}`;
    page.byId("prediction-boxes").textContent = page.number(sum(rows));
    page.byId("prediction-without").textContent = page.number(data.images - withBox);
    const order = data.classNames.map((_, index) => index).sort((a, b) => data.boxesAt[b][step()] - data.boxesAt[a][step()] || a - b);
    const figure = count => page.element("td", { class: "figure" }, page.number(count));
    page.byId("prediction-classes").replaceChildren(...order.map(index => page.element(
      "tr", {}, page.element("td", {}, data.classNames[index]), figure(data.boxesAt[index][step()]), figure(data.imagesAt[index][step()]))));
    showScores(rows);
  }

  function showScores(rows) {
    const BINS = 50;
    const total = index => rows.reduce((all, row) => all + row[index], 0);
    const bins = Array.from({ length: BINS }, (_, bin) => total(2 * bin) - (bin < BINS - 1 ? total(2 * bin + 2) : 0));
    page.bars(page.byId("prediction-scores"), {
      counts: bins, from: 0, to: 1, xLabel: "score", yLabel: "boxes", marker: filter.threshold,
    });
  }

  function showGallery() {
    chosen.clear();
    data.gallery.forEach(image => chosen.set(image, image.boxes.filter(counts)));
    const wanted = { all: () => true, with: image => chosen.get(image).length > 0, without: image => chosen.get(image).length === 0 };
    const images = data.gallery.filter(wanted[filter.show]).sort(ORDERS[filter.order]);
    page.byId("prediction-shown").textContent = `${images.length} of ${data.gallery.length} images are shown.`;
    page.gallery(page.byId("prediction-gallery"), images.length, index => {
      const image = images[index];
      const boxes = chosen.get(image);
      return page.drawImage(image, boxes.map(toDraw).reverse(), boxes.length === 1 ? "1 box" : `${boxes.length} boxes`);
    });
  }

  let isReady = false;
  function change(part) {
    Object.assign(filter, part);
    if (isReady) {
      showNumbers();
      showGallery();
    }
  }

  const controls = page.byId("prediction-controls");
  page.slider(controls, { id: "prediction-threshold", label: "score above", value: data.startThreshold }, threshold => change({ threshold }));
  page.choice(controls, {
    id: "prediction-class", label: "class",
    options: [[ALL, "all classes"], ...data.classNames.map((name, index) => [index, name])],
  }, text => change({ classIndex: Number(text) }));
  page.choice(controls, {
    id: "prediction-show", label: "images", options: [["all", "all"], ["with", "with a box"], ["without", "without a box"]],
  }, show => change({ show }));
  page.choice(controls, {
    id: "prediction-order", label: "order",
    options: [["number", "as in the result"], ["most", "most boxes first"], ["best", "best score first"], ["doubtful", "nearest to the threshold first"]],
  }, order => change({ order }));
  isReady = true;
  change({});
})();
