// The charts of one run: they come, go and keep their order as the metrics do.

import { HEIGHT, describe, drawChart, newChart } from "./chart.js";
import { fill, make } from "./dom.js";
import { number } from "./number.js";
import { soFar } from "./panel-words.js";
import { byChart, decode, metricOf } from "./series.js";

export function shownCurves({ model, tool }) {
  return decode(model.get("state"), model.get("points")).filter((curve) => !tool.hides(metricOf(curve)));
}

export function shownLosses({ model, tool }) {
  return tool.hides("loss") ? [] : model.get("state").losses;
}

function addChart({ charts, reading }, title) {
  const figure = make(charts, "figure");
  const made = { figure, ...newChart(figure, title), aside: make(figure, "p", { class: "nbkeras-aside" }) };
  reading.listen(made);
  return made;
}

// Have a figure for each title, in the order of the titles.
function arrangeCharts(panel, titles) {
  const { charts, drawn } = panel;
  for (const [title, { figure }] of drawn) {
    if (titles.includes(title)) continue;
    figure.remove();
    drawn.delete(title);
  }
  for (const title of titles) {
    if (!drawn.has(title)) drawn.set(title, addChart(panel, title));
  }
  titles.forEach((title, at) => {
    // Moved only where it stands elsewhere: an element that is moved loses the focus.
    const { figure } = drawn.get(title);
    if (charts.children[at] !== figure) charts.insertBefore(figure, charts.children[at]);
  });
}

function redrawChart({ model, words, tool }, chart, title, members, losses) {
  const state = model.get("state"), { log, smoothing } = tool.settings;
  const width = Math.max(180, chart.figure.clientWidth || 320);
  chart.svg.replaceChildren();
  chart.svg.setAttribute("width", width);
  chart.svg.setAttribute("height", HEIGHT);
  chart.plot = drawChart(chart.svg, members, { width, epochs: state.epochs, words, log, smoothing, losses });
  const values = members.map((curve) => `${curve.name} ${number(curve.last)}`).join(", ");
  describe(chart, title, members.length ? values : soFar(state, words), words);
  const count = chart.plot.curves.reduce((sum, curve) => sum + curve.leftOut, 0);
  chart.aside.textContent = count ? fill(count === 1 ? words.log_left_out_one : words.log_left_out, { count }) : "";
}

export function drawCharts(panel) {
  const { model, words, drawn, empty, reading } = panel;
  const state = model.get("state"), curves = shownCurves(panel), losses = shownLosses(panel);
  const groups = byChart(curves);
  if (!state.curves.length && losses.length) groups.set("loss", []); // a long first epoch
  arrangeCharts(panel, [...groups.keys()]);
  for (const [title, members] of groups) {
    redrawChart(panel, drawn.get(title), title, members, title === "loss" ? losses : []);
  }
  reading.draw();
  empty.textContent = state.curves.length && !curves.length ? words.all_hidden : "";
}
