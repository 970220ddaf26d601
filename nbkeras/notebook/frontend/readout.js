// The values of all curves at one epoch, which is marked in every chart: under the pointer, or by keys.

import { fill, make } from "./dom.js";
import { number } from "./number.js";
import { nearest } from "./series.js";

const ROWS = 10; // of the box; more curves stand in further columns

// One value as people read it: smoothed where it is, and with its own epoch where this one's was left out.
function reading(curve, epoch, words) {
  if (!curve.measured.length) return null;
  const at = nearest(curve.measured.map((point) => point[0]), epoch);
  const [x, y] = curve.measured[at];
  let value = number(y);
  if (curve.smoothed) {
    const line = curve.line.find((point) => point[0] === x);
    if (line) value = fill(words.read_smoothed, { value: number(line[1]), measured: value });
  }
  if (x !== epoch) value = fill(words.read_near, { value, epoch: x });
  return { x, y, value };
}

// Beside the line, in the corner where it covers the fewest points.
function place(box, plot, x) {
  const gap = 10, wide = box.offsetWidth, high = box.offsetHeight;
  const points = plot.curves.flatMap((curve) => curve.line).map(([epoch, value]) => [plot.X(epoch), plot.Y(value)]);
  const covers = ([left, top]) => points.filter(([px, py]) =>
    px > left - gap && px < left + wide + gap && py > top - gap && py < top + high + gap).length;
  const sides = [x + gap, x - gap - wide].filter((left) => left >= 0 && left + wide <= plot.width);
  if (!sides.length) sides.push(Math.max(0, plot.width - wide));
  const heights = [plot.top, Math.max(plot.top, plot.bottom - high - 4)];
  const places = sides.flatMap((left) => heights.map((top) => [left, top]));
  const [left, top] = places.reduce((best, one) => (covers(one) < covers(best) ? one : best));
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}

// The charts: a list of {target, svg, box, plot}, as they are drawn now.
export function readOut(charts, words, said) {
  let pointed = null, stepped = null;

  function draw({ svg, box, plot }) {
    svg.querySelector(".nbkeras-mark")?.remove();
    box.replaceChildren();
    const epoch = pointed ?? stepped;
    box.hidden = epoch === null || !plot.epochs.length;
    if (box.hidden) return [];
    const x = plot.X(Math.min(epoch, plot.epochs.at(-1)));
    const mark = make(svg, "g", { class: "nbkeras-mark" });
    make(mark, "line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom });
    make(box, "strong", {}, fill(words.read_epoch, { epoch }));
    const list = make(box, "div", { class: "nbkeras-readings" });
    list.style.setProperty("--rows", Math.min(ROWS, plot.curves.length));
    const values = [];
    for (const curve of plot.curves) {
      const read = reading(curve, epoch, words);
      if (!read) continue;
      make(mark, "circle", { cx: plot.X(read.x), cy: plot.Y(read.y), r: 4, stroke: curve.ink });
      const row = make(list, "span");
      make(row, "i", { class: curve.validation ? "nbkeras-dashed" : "" }).style.borderColor = curve.ink;
      make(row, "span", {}, fill(words.value, { name: curve.said, value: read.value }));
      values.push(`${curve.name} ${read.value}`);
    }
    place(box, plot, x);
    return values;
  }

  function drawAll() {
    for (const chart of charts()) draw(chart);
  }

  function step(chart, key) {
    const epochs = chart.plot.epochs;
    if (!epochs.length) return;
    const at = stepped === null ? null : nearest(epochs, stepped);
    const to = {
      Home: 0, End: epochs.length - 1,
      ArrowLeft: at === null ? epochs.length - 1 : Math.max(0, at - 1),
      ArrowRight: at === null ? 0 : Math.min(epochs.length - 1, at + 1),
    }[key];
    pointed = null;
    stepped = epochs[to];
    drawAll();
    said.textContent = [fill(words.read_epoch, { epoch: stepped }), ...draw(chart)].join(", ");
  }

  function listen(chart) {
    const { target } = chart;
    const point = (event) => {
      if (!chart.plot.epochs.length) return;
      const { epochs, epochAt } = chart.plot;
      pointed = epochs[nearest(epochs, epochAt(event.clientX - target.getBoundingClientRect().left))];
      drawAll();
    };
    target.addEventListener("pointermove", point);
    target.addEventListener("pointerdown", point);
    target.addEventListener("pointerleave", () => { pointed = null; drawAll(); });
    target.addEventListener("blur", () => { stepped = null; drawAll(); });
    target.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape") { stepped = pointed = null; drawAll(); }
      if (!["Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      step(chart, event.key);
    });
  }

  return { draw: drawAll, listen };
}
