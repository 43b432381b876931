"use strict";
// Line charts and histograms, drawn again for each width that the page gives them.
Object.assign(page, (() => {
  const { element, svg } = page;
  const LINES = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22"];
  const MARGIN = { left: 56, right: 16, top: 10, bottom: 40 };
  const HEIGHT_PX = 240;

  const shown = new WeakMap();

  function responsive(container, draw) {
    shown.get(container)?.disconnect();
    let width = 0;
    const redraw = () => {
      if (container.clientWidth && container.clientWidth !== width) {
        width = container.clientWidth;
        container.replaceChildren(...draw(width));
      }
    };
    const observer = new ResizeObserver(redraw);
    shown.set(container, observer);
    observer.observe(container);
    redraw();
  }

  // round numbers that divide a range into about `count` steps
  function ticks(from, to, count) {
    const rough = (to - from) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough * 0.999);
    const first = Math.ceil(from / step - 1e-9);
    const last = Math.floor(to / step + 1e-9);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * step);
  }

  const tickText = value => (Math.abs(value) >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(6))));

  function axes(width, x, y, { xLabel, yLabel }) {
    const right = width - MARGIN.right;
    const bottom = HEIGHT_PX - MARGIN.bottom;
    const drawing = svg("svg", { class: "chart", width, height: HEIGHT_PX, role: "img", "aria-label": `${yLabel} by ${xLabel}` });
    for (const value of ticks(y.from, y.to, 4)) {
      drawing.append(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y.at(value), y2: y.at(value) }));
      drawing.append(svg("text", { class: "end", x: MARGIN.left - 6, y: y.at(value) + 4 }, tickText(value)));
    }
    for (const value of ticks(x.from, x.to, Math.max(2, width / 110))) {
      drawing.append(svg("line", { class: "tick", x1: x.at(value), x2: x.at(value), y1: bottom, y2: bottom + 4 }));
      drawing.append(svg("text", { class: "middle", x: x.at(value), y: bottom + 17 }, tickText(value)));
    }
    drawing.append(svg("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
    drawing.append(svg("text", { class: "middle", x: (MARGIN.left + right) / 2, y: HEIGHT_PX - 6 }, xLabel));
    return drawing;
  }

  function scale(from, to, start, end) {
    if (to <= from) to = from + 1; // a single value
    return { from, to, at: value => start + ((value - from) / (to - from)) * (end - start) };
  }

  const xScale = (range, width) => scale(range[0], range[1], MARGIN.left, width - MARGIN.right);
  const yScale = range => scale(range[0], range[1], HEIGHT_PX - MARGIN.bottom, MARGIN.top);

  function legend(series) {
    const entries = series.map((one, index) => {
      const sample = svg("svg", { width: 22, height: 10 });
      sample.append(svg("line", { class: "series", x1: 1, x2: 21, y1: 5, y2: 5, stroke: one.colour || LINES[index % LINES.length] }));
      return element("span", {}, sample, " ", one.name);
    });
    return element("p", { class: "legend" }, ...entries);
  }

  function path(points, x, y) {
    let isBroken = true; // a missing value breaks the line
    return points.map(([px, py]) => {
      if (py === null) {
        isBroken = true;
        return "";
      }
      const command = isBroken ? "M" : "L";
      isBroken = false;
      return `${command}${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`;
    }).join("");
  }

  // series: [{name, points: [[x, y or null], ...], colour?}]; x, y: [from, to], by default what the points need
  function plot(container, { series, xLabel, yLabel, x, y, marker = null }) {
    const points = series.flatMap(one => one.points).filter(point => point[1] !== null);
    const range = axis => {
      const values = points.map(point => point[axis]);
      return values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 1];
    };
    const yRange = y || [Math.min(0, range(1)[0]), range(1)[1]];
    responsive(container, width => {
      const scales = [xScale(x || range(0), width), yScale(yRange)];
      const drawing = axes(width, ...scales, { xLabel, yLabel });
      series.forEach((one, index) => {
        const stroke = one.colour || LINES[index % LINES.length];
        drawing.append(svg("path", { class: "series", d: path(one.points, ...scales), stroke }));
        if (one.points.length < 40 && one.dots !== false) {
          drawing.append(...one.points.filter(point => point[1] !== null).map(([px, py]) => svg(
            "circle", { cx: scales[0].at(px), cy: scales[1].at(py), r: 3, fill: stroke },
            svg("title", {}, `${one.name}: ${tickText(py)} at ${tickText(px)}`))));
        }
      });
      if (marker !== null) drawing.append(line(scales[0].at(marker)));
      return series.length > 1 || series[0]?.name ? [drawing, legend(series)] : [drawing];
    });
  }

  const line = px => svg("line", { class: "marker", x1: px, x2: px, y1: MARGIN.top, y2: HEIGHT_PX - MARGIN.bottom });

  // a histogram of bins of equal width over [from, to]
  function bars(container, { counts, from, to, xLabel, yLabel, marker = null }) {
    const most = counts.reduce((a, b) => Math.max(a, b), 1);
    const step = (to - from) / counts.length;
    responsive(container, width => {
      const x = xScale([from, to], width);
      const y = yScale([0, most]);
      const drawing = axes(width, x, y, { xLabel, yLabel });
      counts.forEach((count, index) => {
        const left = from + index * step;
        const bar = { x: x.at(left) + 0.5, width: Math.max(1, x.at(left + step) - x.at(left) - 1) };
        const text = `${tickText(left)} to ${tickText(left + step)}: ${page.number(count)}`;
        drawing.append(svg("rect", { class: "bar", ...bar, y: y.at(count), height: y.at(0) - y.at(count) }, svg("title", {}, text)));
      });
      if (marker !== null) drawing.append(line(x.at(marker)));
      return [element("p", { class: "legend" }, yLabel), drawing];
    });
  }

  return { plot, bars };
})());
