"use strict";
// Training: a slider moves the threshold, and all counts, the confusion matrix and the boxes follow.
(() => {
  const { element } = page;
  const { history, evaluation } = page.data("training");
  const share = value => (value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(3));
  const figure = text => element("td", { class: "figure" }, text);
  const sumFrom = (column, level) => {
    let sum = 0;
    for (let index = level; index < column.length; index += 1) sum += column[index];
    return sum;
  };

  function rates(tp, fp, boxes) {
    return {
      tp, fp, fn: boxes - tp,
      precision: tp + fp ? tp / (tp + fp) : 0,
      recall: boxes ? tp / boxes : 0,
      f1: tp + fp + boxes ? (2 * tp) / (tp + fp + boxes) : 0,
    };
  }

  const ENOUGH = 40; // points that are worth smoothing

  function drawHistory(container) {
    const smoothed = points => {
      const half = Math.floor(points.length / 40);
      return points.map(([step], index) => {
        const near = points.slice(Math.max(0, index - half), index + half + 1).map(point => point[1]).filter(value => value !== null);
        return [step, near.length ? near.sort((a, b) => a - b)[Math.floor(near.length / 2)] : null];
      });
    };
    const chart = (title, options) => {
      const place = element("div", {});
      container.append(element("div", {}, element("h4", {}, title), place));
      page.plot(place, { xLabel: "step", ...options });
    };
    for (const name of Object.keys(history.training)) {
      const points = history.training[name];
      const series = [{ name: "training", points, colour: points.length < ENOUGH ? "#1f77b4" : "#c3d7ee" }];
      if (points.length >= ENOUGH) series.push({ name: "training, smoothed", points: smoothed(points), colour: "#1f77b4" });
      if (history.validation[name]) series.push({ name: "validation", points: history.validation[name], colour: "#d62728" });
      chart(name, { yLabel: name, series });
    }
    const metrics = (title, names) => {
      const series = names.filter(name => history.metrics[name]).map(name => ({ name: name.replace("_", " "), points: history.metrics[name] }));
      if (series.length) chart(title, { yLabel: title, series, y: [0, 1] });
    };
    metrics("AP on the validation set", ["AP50", "AP", "AP75", "AR100"]);
    metrics("Best threshold and its F1", ["best_threshold", "best_F1"]);
  }

  if (history) drawHistory(page.byId("training-history"));
  if (!evaluation) return;

  const { thresholds, classes, defaultLevel, bestLevel } = evaluation;
  const ALL = -1;
  const FIRST_CLASSES = 50;
  const state = { level: bestLevel, order: "file", all: false, class: ALL, show: "worst", gt: true, pred: true };
  const text = level => String(Number(thresholds[level].toPrecision(4)));
  const total = key => level => classes.reduce((sum, one) => sum + sumFrom(one[key], level), 0);
  const boxes = classes.reduce((sum, one) => sum + one.boxes, 0);
  const perLevel = { tp: thresholds.map((_, level) => total("tp")(level)), fp: thresholds.map((_, level) => total("fp")(level)) };
  const ofAll = level => rates(perLevel.tp[level], perLevel.fp[level], boxes);
  const ofClass = (one, level) => rates(sumFrom(one.tp, level), sumFrom(one.fp, level), one.boxes);

  function showPoints() {
    const row = (name, level, attributes) => {
      const { precision, recall, f1, tp, fp, fn } = ofAll(level);
      const cells = [share(precision), share(recall), share(f1), page.number(tp), page.number(fp), page.number(fn)];
      return element("tr", attributes, element("td", {}, name), ...cells.map(figure));
    };
    const rows = [row(`${text(defaultLevel)}, the default`, defaultLevel, { id: "training-default" })];
    if (evaluation.hasBest) rows.push(row(`${text(bestLevel)}, the best`, bestLevel, { id: "training-best" }));
    rows.push(row(`${text(state.level)}, at the slider`, state.level, { id: "training-here", class: "here" }));
    page.byId("training-points").tBodies[0].replaceChildren(...rows);
  }

  const ORDERS = {
    file: () => 0,
    worst: (a, b) => (a.ap50 ?? 2) - (b.ap50 ?? 2),
    best: (a, b) => (b.ap50 ?? -1) - (a.ap50 ?? -1),
    boxes: (a, b) => b.boxes - a.boxes,
    name: (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)),
  };

  function showClasses() {
    const ordered = [...classes].sort(ORDERS[state.order]); // stable: of equals in the order of class_names
    const shown = state.all ? ordered : ordered.slice(0, FIRST_CLASSES);
    page.byId("training-here-precision").textContent = `Precision at ${text(state.level)}`;
    page.byId("training-here-recall").textContent = `Recall at ${text(state.level)}`;
    page.byId("training-classes").tBodies[0].replaceChildren(...shown.map(one => {
      const here = ofClass(one, state.level);
      const cells = [
        share(one.ap50), share(one.ap), one.best ? share(one.best.threshold) : "–",
        share(one.best?.precision), share(one.best?.recall), here.tp + here.fp ? share(here.precision) : "–",
        one.boxes ? share(here.recall) : "–", page.number(one.images), page.number(one.boxes),
        one.trainingBoxes === null ? "–" : page.number(one.trainingBoxes),
      ];
      return element("tr", {}, element("td", {}, one.name), ...cells.map(figure));
    }));
    const note = page.byId("training-classes-note");
    note.replaceChildren();
    if (shown.length < classes.length) {
      const button = element("button", { type: "button" }, `Show all ${page.number(classes.length)} classes`);
      button.addEventListener("click", () => { state.all = true; showClasses(); });
      note.append(`The first ${shown.length} of ${page.number(classes.length)} classes. `, button);
    }
  }

  const RECALLS = Array.from({ length: 101 }, (_, index) => index / 100);

  function meanPrecision() {
    const measured = classes.filter(one => one.precision.length);
    return RECALLS.map((_, index) => (measured.length ? measured.reduce((sum, one) => sum + one.precision[index], 0) / measured.length : null));
  }
  const meanCurve = meanPrecision();

  function showCurves() {
    const one = state.class === ALL ? null : classes[state.class];
    const at = level => (one ? ofClass(one, level) : ofAll(level));
    const here = at(state.level);
    const levels = thresholds.map((_, level) => level).filter(level => at(level).tp + at(level).fp > 0);
    const points = key => levels.map(level => [thresholds[level], at(level)[key]]);
    const series = [
      // the best precision at each recall or above, whose mean is AP50
      { name: one ? "as AP50 counts it" : "mean of the classes, as AP50 counts it", points: (one ? one.precision : meanCurve).map((value, index) => [RECALLS[index], value]), colour: "#b3bcc6" },
      { name: one ? one.name : "all boxes together", points: levels.map(level => [at(level).recall, at(level).precision]), colour: "#1f77b4", dots: false },
    ];
    if (here.tp + here.fp) series.push({ name: "at the slider", points: [[here.recall, here.precision]], colour: "#d62728" });
    page.plot(page.byId("training-recall"), { series, xLabel: "recall", yLabel: "precision", x: [0, 1], y: [0, 1] });
    page.plot(page.byId("training-confidence"), {
      series: ["precision", "recall", "f1"].map(key => ({ name: key === "f1" ? "F1" : key, points: points(key) })),
      xLabel: "threshold", yLabel: "share", x: [0, 1], y: [0, 1], marker: thresholds[state.level],
    });
  }

  function confusionMatrix(level) {
    const { names, others, hasOthers, steps } = evaluation.confusion;
    const labels = hasOthers ? [...names, `${page.number(others)} others`] : names;
    const side = labels.length + 1;
    const matrix = Array.from({ length: side }, () => new Array(side).fill(0));
    for (const [from, row, column, change] of steps) if (from >= level) matrix[row][column] += change;
    return { labels, matrix };
  }

  function showConfusion() {
    const { labels, matrix } = confusionMatrix(state.level);
    const last = labels.length;
    const columnSums = matrix[0].map((_, column) => matrix.reduce((sum, row) => sum + row[column], 0));
    const head = [...labels, "missed"].map(name => element("th", { class: "figure", scope: "col" }, name));
    const body = matrix.map((row, index) => {
      const rowSum = row.reduce((a, b) => a + b, 0);
      const cells = row.map((count, column) => {
        const cell = figure(index === last && column === last ? "" : page.number(count));
        // of an object's class, or in the last row of a prediction's: false positives belong to no object
        const whole = index === last ? columnSums[column] : rowSum;
        const part = whole ? count / whole : 0;
        cell.style.setProperty("--share", `${Math.round(100 * part)}%`);
        cell.className = `figure cell${index === column ? " right" : count ? " wrong" : ""}${part > 0.6 ? " strong" : ""}`;
        return cell;
      });
      return element("tr", {}, element("th", { scope: "row" }, index === last ? "nothing there" : labels[index]), ...cells);
    });
    page.byId("training-confusion").replaceChildren(
      element("thead", {}, element("tr", {}, element("th", {}, "labelled ↓  found →"), ...head)), element("tbody", {}, ...body));
    page.byId("training-confusion-note").textContent =
      `Boxes with a score above ${text(state.level)} that overlap an object by more than half, whatever their classes.`
      + (evaluation.confusion.hasOthers ? ` Of ${page.number(classes.length)} classes, those with the most errors have rows of their own.` : "");
  }

  const COLOURS = { right: "#2ee6a6", wrong: "#ff3b6b", missed: "#ffd400", found: "#ffffff" };
  const [X, Y, W, H, CLASS, SCORE, GT] = [0, 1, 2, 3, 4, 5, 6];

  function judge(image) {
    const kept = image.pred.filter(pred => pred[SCORE] > thresholds[state.level]);
    const found = new Set(kept.map(pred => pred[GT]));
    const right = kept.filter(pred => pred[GT] >= 0);
    return { kept, found, right: right.length, wrong: kept.length - right.length, missed: image.gt.filter((_, index) => !found.has(index)).length };
  }

  function drawExample(image) {
    const judged = judge(image);
    const place = box => ({ x: box[X], y: box[Y], w: box[W], h: box[H] });
    const drawn = [];
    if (state.gt) {
      image.gt.forEach((box, index) => {
        const isFound = judged.found.has(index);
        drawn.push({ ...place(box), dashed: true, below: true, colour: isFound ? COLOURS.found : COLOURS.missed, label: isFound ? "" : `${classes[box[CLASS]].name}, missed` });
      });
    }
    if (state.pred) {
      judged.kept.slice().reverse().forEach(box => {
        drawn.push({ ...place(box), colour: box[GT] >= 0 ? COLOURS.right : COLOURS.wrong, label: `${classes[box[CLASS]].name} ${box[SCORE].toFixed(2)}` });
      });
    }
    const lines = [`${judged.right} right, ${judged.wrong} wrong, ${judged.missed} missed`];
    if (image.omitted) lines.push(`${page.number(image.omitted)} more boxes are not shown`);
    return page.drawImage(image, drawn, ...lines);
  }

  function showImages() {
    const shown = evaluation[state.show];
    page.byId("training-images-note").textContent = {
      worst: !shown.length ? `No validation image has an error at ${text(bestLevel)}.` : `The ${shown.length} validation images with the most errors at ${text(bestLevel)}, worst first: wrong labels and hard scenes gather here.`,
      typical: `${shown.length} images evenly over the validation set, in its order.`,
    }[state.show];
    page.gallery(page.byId("training-gallery"), shown.length, index => drawExample(evaluation.examples[shown[index]]));
  }

  function showLegend() {
    const entry = (colour, name, dashed) => {
      const sample = page.svg("svg", { width: 26, height: 15 }, page.svg("rect", { x: 2, y: 2, width: 22, height: 11, class: dashed ? "key dashed" : "key", stroke: colour }));
      return element("span", {}, sample, " ", name);
    };
    page.byId("training-legend").replaceChildren(
      entry(COLOURS.right, "found and right"), entry(COLOURS.wrong, "found, but wrong"),
      entry(COLOURS.missed, "labelled, but missed", true), entry(COLOURS.found, "labelled and found", true));
  }

  function showLevel() {
    showPoints();
    showClasses();
    showCurves();
    showConfusion();
    showImages();
  }

  function addThreshold(container) {
    const input = element("input", { type: "range", id: "training-threshold", min: 0, max: thresholds.length - 1, step: 1, value: state.level });
    const output = element("output", { for: "training-threshold" });
    let waits = false;
    const move = () => {
      state.level = Number(input.value);
      output.textContent = text(state.level);
      input.setAttribute("aria-valuetext", `threshold ${text(state.level)}`);
      if (waits) return; // of many moves between two frames the last one is drawn
      waits = true;
      requestAnimationFrame(() => { waits = false; showLevel(); });
    };
    const jump = (name, level) => {
      const button = element("button", { type: "button" }, name);
      button.addEventListener("click", () => { input.value = level; move(); });
      return button;
    };
    input.addEventListener("input", move);
    container.append(element("label", {}, element("span", {}, "Threshold"), input, output));
    if (evaluation.hasBest) container.append(jump(`best ${text(bestLevel)}`, bestLevel));
    container.append(jump(`default ${text(defaultLevel)}`, defaultLevel));
    output.textContent = text(state.level);
  }

  function addToggle(container, key, name) {
    const input = element("input", { type: "checkbox", id: `training-${key}`, checked: "" });
    input.addEventListener("change", () => { state[key] = input.checked; showImages(); });
    container.append(element("label", {}, input, name));
  }

  addThreshold(page.byId("training-controls"));
  showLegend();
  page.choice(page.byId("training-order"), {
    id: "training-order-choice", label: "Order",
    options: [["file", "of class_names"], ["worst", "lowest AP50 first"], ["best", "highest AP50 first"], ["boxes", "most boxes first"], ["name", "by name"]],
  }, value => { state.order = value; showClasses(); });
  page.choice(page.byId("training-class"), {
    id: "training-class-choice", label: "Class",
    options: [[ALL, "all classes"], ...classes.map((one, index) => [index, one.name])],
  }, value => { state.class = Number(value); showCurves(); });
  const show = page.byId("training-show");
  page.choice(show, {
    id: "training-show-choice", label: "Show", options: [["worst", "the worst images"], ["typical", "typical images"]],
  }, value => { state.show = value; showImages(); });
  addToggle(show, "gt", "ground truth");
  addToggle(show, "pred", "predictions");
  showPoints();
  showConfusion();
})();
