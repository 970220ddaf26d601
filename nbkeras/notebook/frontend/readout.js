// The values of all curves at one epoch, which is marked in every chart: under the pointer, or chosen by keys.

import { fill, make } from "./dom.js";
import { number } from "./number.js";
import { nearest } from "./series.js";

const MAX_ROWS = 10; // of the box; more curves stand in further columns

// A value as people read it: smoothed if the curve is, and with its own epoch where this one was left out.
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

// Puts the box beside the line, in the corner where it covers the fewest points.
function place(box, plot, x) {
  const gap = 10, wide = box.offsetWidth, high = box.offsetHeight;
  const points = plot.curves.flatMap((curve) => curve.line).map(([epoch, value]) => [plot.X(epoch), plot.Y(value)]);
  const covers = ([left, top]) => points.filter(([px, py]) =>
    px > left - gap && px < left + wide + gap && py > top - gap && py < top + high + gap).length;
  const sides = [x + gap, x - gap - wide].filter((left) => left >= 0 && left + wide <= plot.width);
  if (!sides.length) sides.push(Math.max(0, plot.width - wide));
  const heights = [plot.top, Math.max(plot.top, plot.bottom - high - 4)];
  const places = sides.flatMap((left) => heights.map((top) => [left, top]));
  const [left, top] = places.reduce((best, other) => (covers(other) < covers(best) ? other : best));
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}

// Draws the values at an epoch, or none, and returns them as text.
function drawValues({ svg, box, plot }, epoch, words) {
  svg.querySelector(".nbkeras-mark")?.remove();
  box.replaceChildren();
  box.hidden = epoch === null || !plot.epochs.length;
  if (box.hidden) return [];
  const x = plot.X(Math.min(epoch, plot.epochs.at(-1)));
  const mark = make(svg, "g", { class: "nbkeras-mark" });
  make(mark, "line", { x1: x, x2: x, y1: plot.top, y2: plot.bottom });
  make(box, "strong", {}, fill(words.read_epoch, { epoch }));
  const list = make(box, "div", { class: "nbkeras-readings" });
  list.style.setProperty("--rows", Math.min(MAX_ROWS, plot.curves.length));
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

// The epoch that a key goes to from another one, or from none.
function stepTo(key, epochs, from) {
  const last = epochs.length - 1, at = from === null ? null : nearest(epochs, from);
  const to = {
    Home: 0, End: last,
    ArrowLeft: at === null ? last : Math.max(0, at - 1),
    ArrowRight: at === null ? 0 : Math.min(last, at + 1),
  }[key];
  return epochs[to];
}

function listenToPointer({ target, plotOf }, point) {
  const move = (event) => {
    const { epochs, epochAt } = plotOf();
    if (epochs.length) point(epochs[nearest(epochs, epochAt(event.clientX - target.getBoundingClientRect().left))]);
  };
  target.addEventListener("pointermove", move);
  target.addEventListener("pointerdown", move);
  target.addEventListener("pointerleave", () => point(null));
}

function listenToKeys(target, step, leave) {
  target.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") leave();
    if (!["Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    step(event.key);
  });
}

// Reads the values of `charts()`, the charts {target, svg, box, plot} as they are drawn now. A screen reader
// says the text of `said`.
export function readOut(charts, words, said) {
  const at = { pointed: null, stepped: null }; // epochs: under the pointer, and chosen by keys
  const draw = (chart) => drawValues(chart, at.pointed ?? at.stepped, words);

  function go(epochs) {
    Object.assign(at, epochs);
    for (const chart of charts()) draw(chart);
  }

  function step(chart, key) {
    if (!chart.plot.epochs.length) return;
    go({ pointed: null, stepped: stepTo(key, chart.plot.epochs, at.stepped) });
    said.textContent = [fill(words.read_epoch, { epoch: at.stepped }), ...draw(chart)].join(", ");
  }

  function listen(chart) {
    const { target } = chart;
    listenToPointer({ target, plotOf: () => chart.plot }, (pointed) => go({ pointed }));
    target.addEventListener("blur", () => go({ stepped: null }));
    listenToKeys(target, (key) => step(chart, key), () => go({ pointed: null, stepped: null }));
  }

  return { draw: () => go({}), listen };
}
