// One chart, drawn into an SVG. Colours are attributes, to be read on white, as a file needs them;
// in a notebook the style sheet's take their place.

import { fill, make } from "./dom.js";
import { number, whole } from "./number.js";
import { epochTicks, lastEpochShown, spread, valueRange, valueTicks } from "./axes.js";
import { prepare } from "./series.js";

export const HEIGHT = 190;
const LEFT = 44, RIGHT = 84, TOP = 8, BOTTOM = 32;
const MAX_DOTS = 60; // of one curve; beyond, they hide the line
const TEXT = { fill: "#555555", "font-size": 11 };
const LABEL = { fill: "#1a1a1a", "font-size": 11 };
const RULE = { class: "nbkeras-rule", stroke: "#c4c4c4", "stroke-width": 1 };

export function curveName(curve, words) {
  return curve.entry || (curve.validation ? words.validation : words.train);
}

// The elements of a chart: {target, svg, box}, the box with the values at one epoch.
export function newChart(figure, title) {
  make(figure, "figcaption", { "aria-hidden": "true" }, title);
  // The arrow keys read the values: neither a screen reader nor the notebook may take them.
  const target = make(figure, "div", {
    class: "nbkeras-chart", role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
  });
  const svg = make(target, "svg", { "aria-hidden": "true" });
  return { target, svg, box: make(target, "div", { class: "nbkeras-values", "aria-hidden": "true", hidden: true }) };
}

// Tells screen readers what a chart shows.
export function describe({ target }, title, values, words) {
  target.setAttribute("aria-label", `${fill(words.chart, { title, values })} ${words.chart_keys}`);
}

// Draws curves ({name, entry, validation, colour, last, points, best}) and returns where everything is.
// Leaves room for the losses of the current epoch, [epochs from 0, loss], too.
export function drawChart(svg, curves, { width, epochs, words, log = false, smoothing = 0, losses = [] }) {
  const right = width - RIGHT, bottom = HEIGHT - BOTTOM;
  const drawn = curves.map((curve) => ({
    ...prepare(curve, { log, smoothing }),
    ink: words.colours[curve.colour],
    said: curveName(curve, words),
  }));
  const all = drawn.flatMap((curve) => [...curve.measured, ...curve.line]);
  const known = drawn.flatMap((curve) => curve.points.map((point) => point[0]));
  // A long first epoch fills the chart.
  const first = !known.length && losses.length > 0;
  const x0 = first ? Math.ceil(losses[0][0]) - 1 : Math.min(1, ...known);
  const x1 = first ? x0 + 1 : Math.max(x0 + 1, lastEpochShown(epochs, Math.max(1, ...known)));
  const [y0, y1] = valueRange([...all, ...losses.filter(([, y]) => !log || y > 0)].map((point) => point[1]), log);
  const high = log ? Math.log(y1 / y0) : y1 - y0;
  const X = (epoch) => LEFT + ((epoch - x0) / (x1 - x0)) * (right - LEFT);
  const epochAt = (x) => x0 + ((x - LEFT) / (right - LEFT)) * (x1 - x0);
  const Y = (value) => bottom - 4 - ((log ? Math.log(value / y0) : value - y0) / high) * (bottom - TOP - 8);

  for (const value of valueTicks(y0, y1, log)) {
    const y = Y(value);
    make(svg, "line", { ...RULE, x1: LEFT, x2: right, y1: y, y2: y, "stroke-opacity": 0.5 });
    make(svg, "text", { ...TEXT, x: LEFT - 6, y: y + 4, "text-anchor": "end" }, number(value));
  }
  make(svg, "line", { ...RULE, x1: LEFT, x2: right, y1: bottom, y2: bottom });
  for (const x of epochTicks(x0, x1)) {
    make(svg, "text", { ...TEXT, x: X(x), y: bottom + 14, "text-anchor": "middle" }, whole.format(x));
  }
  make(svg, "text", { ...TEXT, x: (LEFT + right) / 2, y: bottom + 28, "text-anchor": "middle" }, words.axis);

  for (const curve of drawn) drawCurve(svg, curve, X, Y, smoothing > 0);
  for (const { best, ink } of drawn) if (best && (!log || best[1] > 0)) drawRing(svg, best, ink, words, X, Y);
  drawLabels(svg, drawn, words, X, Y, bottom);
  const reached = [...new Set(known)].sort((a, b) => a - b);
  return { curves: drawn, epochs: reached, X, Y, epochAt, width, top: TOP, bottom, right, log, low: y0, high: y1 };
}

// Whether a loss of the current epoch lies outside a chart.
export function lacksRoom(plot, losses) {
  return losses.some(([, y]) => (y < plot.low || y > plot.high) && (!plot.log || y > 0));
}

// Draws the losses of the current epoch so far over the chart of the loss.
export function drawLosses({ svg, plot }, losses, words, said) {
  svg.querySelector(".nbkeras-so-far")?.remove();
  const places = losses.filter(([, y]) => !plot.log || y > 0)
    .map(([x, y]) => [Math.min(Math.max(LEFT, plot.X(x)), plot.right), plot.Y(y)]);
  if (!places.length) return;
  const group = make(svg, "g", { class: "nbkeras-so-far" }), ink = words.colours[0];
  const d = places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  make(group, "path", { d, fill: "none", stroke: ink, "stroke-width": 1.2, "stroke-opacity": 0.55 });
  const [cx, cy] = places.at(-1);
  make(group, "circle", { cx, cy, r: 2.4, fill: "none", stroke: ink });
  make(group, "title", {}, said);
}

function drawCurve(svg, curve, X, Y, faint) {
  const group = make(svg, "g", { class: "nbkeras-curve", "data-curve": curve.name });
  const style = {
    fill: "none", stroke: curve.ink, "stroke-linejoin": "round",
    "stroke-dasharray": curve.validation ? "5 4" : "none",
  };
  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
  if (faint) make(group, "path", { ...style, d: path(curve.measured), "stroke-width": 1, "stroke-opacity": 0.35 });
  make(group, "path", { ...style, class: "nbkeras-line", d: path(curve.line), "stroke-width": 1.8 });
  if (curve.measured.length > MAX_DOTS) return;
  for (const [x, y] of curve.measured) {
    make(group, "circle", {
      cx: X(x), cy: Y(y), r: 2.4, fill: curve.ink, "fill-opacity": faint ? 0.35 : 1,
      "data-epoch": x, "data-value": y,
    });
  }
}

// Around the best point of a curve.
function drawRing(svg, [epoch, value], ink, words, X, Y) {
  const ring = make(svg, "circle", {
    class: "nbkeras-best", cx: X(epoch), cy: Y(value), r: 5, fill: "none", stroke: ink, "stroke-width": 1.6,
  });
  make(ring, "title", {}, fill(words.best_point, { value: number(value), epoch: whole.format(epoch) }));
}

function drawLabels(svg, curves, words, X, Y, bottom) {
  const labels = [];
  for (const curve of curves) {
    if (curve.validation && curve.entry) continue;
    const end = curve.line.at(-1), text = fill(words.value, { name: curve.said, value: number(curve.last) });
    labels.push({ x: end ? X(end[0]) : LEFT, y: end ? Y(end[1]) : bottom - 8, text, ink: curve.ink });
  }
  spread(labels, 13, TOP + 2, bottom - 4);
  for (const { x, y, place, text, ink } of labels) {
    make(svg, "path", { d: `M${x + 4} ${y}L${x + 10} ${place}`, stroke: ink, fill: "none" });
    make(svg, "text", { ...LABEL, class: "nbkeras-label", x: x + 13, y: place + 4 }, text);
  }
}
