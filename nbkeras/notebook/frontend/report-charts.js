// The charts of a report: curves between 0 and 1, predictions against the truth, and a histogram of what is left.

import { fill, make } from "./dom.js";
import { valueTicks } from "./axes.js";
import { figure, number } from "./number.js";

const SIZE = { width: 480, height: 340, left: 48, right: 12, top: 8, bottom: 40 };
const CELLS = 30; // of the histogram
const AT_ONCE = 6; // curves: as many as there are colours

// An empty chart of these ranges, {x: [low, high], y: [low, high]}, in which X and Y place values.
function drawFrame(parent, label, ranges, titles) {
  const { width, height, left, right, top, bottom } = SIZE;
  const svg = make(parent, "svg", { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}`, class: "nbkeras-plot" });
  const X = (value) => left + ((value - ranges.x[0]) / (ranges.x[1] - ranges.x[0])) * (width - left - right);
  const Y = (value) => height - bottom - ((value - ranges.y[0]) / (ranges.y[1] - ranges.y[0])) * (height - top - bottom);
  for (const value of valueTicks(...ranges.y, false)) {
    make(svg, "line", { class: "nbkeras-rule", x1: left, x2: width - right, y1: Y(value), y2: Y(value) });
    make(svg, "text", { x: left - 6, y: Y(value) + 4, "text-anchor": "end" }, number(value));
  }
  for (const value of valueTicks(...ranges.x, false)) {
    make(svg, "text", { x: X(value), y: height - bottom + 16, "text-anchor": "middle" }, number(value));
  }
  make(svg, "text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, titles.x);
  make(svg, "text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, titles.y);
  return { svg, X, Y };
}

function drawDiagonal({ svg, X, Y }, [low, high]) {
  make(svg, "line", { class: "nbkeras-diagonal", x1: X(low), y1: Y(low), x2: X(high), y2: Y(high) });
}

const pathOf = (xs, ys, { X, Y }) => xs
  .map((x, at) => `${at ? "L" : "M"}${X(x).toFixed(1)} ${Y(ys[at]).toFixed(1)}`).join("");

// The boxes to tick that show and hide curves; more than there are colours are not shown at once.
function drawChoice(parent, curves, words, label, shown, draw) {
  if (curves.length < 2) return;
  const list = make(parent, "div", { class: "nbkeras-choice", role: "group", "aria-label": label });
  curves.forEach((curve, at) => {
    const line = make(list, "label");
    const tick = make(line, "input", { type: "checkbox", checked: shown.has(at) });
    const mark = make(line, "i", { "aria-hidden": "true" });
    make(line, "span", {}, curve.area === undefined ? curve.name : `${curve.name} ${figure(curve.area)}`);
    const paint = () => { mark.style.borderColor = shown.has(at) ? words.colours[shown.get(at)] : "transparent"; };
    curve.paint = paint;
    paint();
    tick.addEventListener("change", () => {
      if (tick.checked) {
        const taken = new Set(shown.values());
        const free = words.colours.findIndex((_, colour) => !taken.has(colour));
        if (free < 0) tick.checked = false;
        else shown.set(at, free);
      } else shown.delete(at);
      paint();
      draw();
    });
  });
}

// Curves [{name, area, x, y}] of classes.
export function drawCurves({ words }, parent, title, curves, titles, { diagonal = false, dots = false, first = AT_ONCE } = {}) {
  const both = make(parent, "div", { class: "nbkeras-both" }), figure = make(both, "div", { class: "nbkeras-plots" });
  const shown = new Map(curves.slice(0, first).map((_, at) => [at, at]));

  function draw() {
    figure.replaceChildren();
    const values = [...shown.keys()].map((at) => `${curves[at].name} ${curves[at].area === undefined ? "" : number(curves[at].area)}`.trim());
    const frame = drawFrame(figure, fill(words.curve, { title, values: values.join(", ") }), { x: [0, 1], y: [0, 1] }, titles);
    if (diagonal) drawDiagonal(frame, [0, 1]);
    for (const [at, colour] of shown) {
      const { name, x, y } = curves[at], stroke = words.colours[colour];
      make(frame.svg, "path", { class: "nbkeras-line", d: pathOf(x, y, frame), stroke, fill: "none", "data-curve": name });
      if (dots) x.forEach((one, place) => make(frame.svg, "circle", { cx: frame.X(one), cy: frame.Y(y[place]), r: 3, fill: stroke }));
    }
  }

  drawChoice(both, curves, words, title, shown, draw);
  draw();
}

const columnOf = (table, name) => table.columns.find((column) => column.name === name).values;

const around = (values) => {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) / 20 || 0.5;
  return [low - room, high + room];
};

// Predicted amounts against actual ones.
export function drawTruth({ report, words }, parent) {
  const actual = columnOf(report.sample, "actual"), predicted = columnOf(report.sample, "predicted");
  const range = around([...actual, ...predicted]);
  const frame = drawFrame(parent, words.truth, { x: range, y: range }, { x: words.actual, y: words.predicted });
  drawDiagonal(frame, range);
  actual.forEach((one, at) => make(frame.svg, "circle", {
    cx: frame.X(one).toFixed(1), cy: frame.Y(predicted[at]).toFixed(1), r: 2.5, fill: words.colours[0], "fill-opacity": 0.4,
  }));
}

// How many rows are predicted how far off.
export function drawResiduals({ report, words }, parent) {
  const actual = columnOf(report.sample, "actual"), predicted = columnOf(report.sample, "predicted");
  const errors = actual.map((one, at) => predicted[at] - one), [low, high] = around(errors);
  const counts = Array(CELLS).fill(0);
  for (const one of errors) counts[Math.min(CELLS - 1, Math.floor(((one - low) / (high - low)) * CELLS))] += 1;
  const titles = { x: words.residual, y: words.sample_rows };
  const frame = drawFrame(parent, words.residuals, { x: [low, high], y: [0, Math.max(...counts)] }, titles);
  const edge = (cell) => frame.X(low + ((high - low) * cell) / CELLS);
  counts.forEach((count, cell) => make(frame.svg, "rect", {
    x: edge(cell) + 0.5, width: Math.max(1, edge(cell + 1) - edge(cell) - 1),
    y: frame.Y(count), height: frame.Y(0) - frame.Y(count), fill: words.colours[0],
  }));
}
