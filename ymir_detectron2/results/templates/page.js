"use strict";
// What the scripts of all sections share. Texts from data are set by textContent and setAttribute, never as markup.
const page = (() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  // distinct on photographs, by hue and by lightness; repeated when there are more classes
  const COLOURS = ["#3cdc3c", "#ff7828", "#3c9bff", "#ffdc00", "#ff50ff", "#00d2d2", "#ff5050", "#b48cff", "#c8c800", "#ff9bbe"];
  const TILE_HEIGHT_PX = 260;
  const LABELS_IN_TILE = 12; // more would hide the image; the enlarged one has them all

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.map(child => (child instanceof Node ? child : String(child))));
    return node;
  }

  const element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  const percent = (part, whole) => `${(100 * part) / whole}%`;

  function drawBox(box, width, height, withLabel) {
    const place = { x: percent(box.x, width), y: percent(box.y, height) };
    const size = { width: percent(box.w, width), height: percent(box.h, height) };
    const outline = svg("rect", { ...place, ...size, class: box.dashed ? "box dashed" : "box", stroke: box.colour });
    outline.append(svg("title", {}, box.label));
    const group = svg("g", {}, outline);
    if (withLabel) {
      // above the box or below it, or inside it at the edge of the image; to the left where it would leave the image
      const y = percent(box.below ? box.y + box.h : box.y, height);
      const dy = box.below ? (box.y + box.h < 0.94 * height ? 12 : -4) : box.y > 0.06 * height ? -4 : 12;
      const isRight = box.x + box.w / 2 > 0.6 * width;
      const along = isRight ? { x: percent(box.x + box.w, width), dx: -2, "text-anchor": "end" } : { x: place.x, dx: 2 };
      group.append(svg("text", { ...along, y, dy, fill: box.colour }, box.label));
    }
    return group;
  }

  // image: {uri, width, height, name}, pixels of the original; uri is "" where the file is gone
  function frame(image, boxes, maxHeightPx, withLabels) {
    const extent = (side, start, length) => side || Math.max(1, ...boxes.map(box => box[start] + box[length]));
    const width = extent(image.width, "x", "w");
    const height = extent(image.height, "y", "h");
    const drawing = svg("svg", { class: "image", role: "img", "aria-label": image.name });
    // percentages in place of a viewBox: letters and lines keep their size however large the image is shown
    drawing.style.aspectRatio = `${width} / ${height}`;
    drawing.style.width = `min(100%, ${Math.ceil((maxHeightPx * width) / height)}px)`;
    if (image.uri) {
      drawing.append(svg("image", { href: image.uri, width: "100%", height: "100%", preserveAspectRatio: "none" }));
    } else {
      drawing.append(svg("rect", { class: "gone", width: "100%", height: "100%" }));
      drawing.append(svg("text", { x: "50%", y: "50%", class: "gone" }, "image not available"));
    }
    drawing.append(...boxes.map(box => drawBox(box, width, height, withLabels)));
    return drawing;
  }

  // a line of text, or {text, colour} with a dot in the colour of its box
  function caption(line) {
    if (typeof line === "string") return element("p", {}, line);
    const dot = svg("svg", { class: "dot", width: 10, height: 10 }, svg("circle", { cx: 5, cy: 5, r: 5, fill: line.colour }));
    return element("p", {}, dot, " ", line.text);
  }

  function enlarge(image, boxes, captions) {
    const close = element("button", { type: "button" }, "Close");
    const dialog = element("dialog", {}, element("p", { class: "name" }, image.name), ...captions);
    dialog.append(frame(image, boxes, 0.72 * window.innerHeight, true), close);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  // a figure with the image, its name and further lines; a click enlarges it
  function drawImage(image, boxes, ...lines) {
    const captions = () => lines.map(caption);
    const button = element("button", { type: "button", class: "plain", title: "enlarge" });
    button.append(frame(image, boxes, TILE_HEIGHT_PX, boxes.length <= LABELS_IN_TILE));
    button.addEventListener("click", () => enlarge(image, boxes, captions()));
    return element("figure", {}, button, element("figcaption", {}, element("p", { class: "name" }, image.name), ...captions()));
  }

  const observers = new WeakMap();

  // draws an item when it comes near the screen: hundreds of images at once would take seconds
  function gallery(container, count, makeItem) {
    observers.get(container)?.disconnect();
    const observer = new IntersectionObserver(
      entries => {
        for (const entry of entries.filter(one => one.isIntersecting)) {
          observer.unobserve(entry.target);
          entry.target.classList.remove("waiting");
          entry.target.append(makeItem(Number(entry.target.dataset.index)));
        }
      },
      { rootMargin: "600px" },
    );
    observers.set(container, observer);
    const tiles = Array.from({ length: count }, (_, index) => element("div", { class: "tile waiting", "data-index": index }));
    container.replaceChildren(...tiles);
    tiles.forEach(tile => observer.observe(tile));
  }

  // a labelled slider; onInput gets its number, at once and whenever it is moved
  function slider(container, { id, label, min = 0, max = 1, step = 0.01, value }, onInput) {
    const digits = (String(step).split(".")[1] || "").length;
    const input = element("input", { type: "range", id, min, max, step, value });
    const output = element("output", { for: id });
    container.append(element("label", {}, element("span", {}, label), input, output));
    const tell = () => {
      output.textContent = Number(input.value).toFixed(digits);
      onInput(Number(input.value));
    };
    input.addEventListener("input", tell);
    tell();
    return input;
  }

  // a labelled menu of [value, text]; onChange gets the chosen value as text
  function choice(container, { id, label, options }, onChange) {
    const select = element("select", { id }, ...options.map(([value, text]) => element("option", { value }, text)));
    container.append(element("label", {}, element("span", {}, label), select));
    select.addEventListener("change", () => onChange(select.value));
    onChange(select.value);
    return select;
  }

  return {
    data: name => all[name],
    colour: index => COLOURS[index % COLOURS.length],
    number: value => value.toLocaleString("en"),
    byId: id => document.getElementById(id),
    element, svg, drawImage, gallery, slider, choice,
  };
})();
