// What is compared of the chosen runs: their curves over each other, best values and settings.

import { HEIGHT, describe, drawChart, newChart } from "./chart.js";
import { button, fill, make } from "./dom.js";
import { number } from "./number.js";
import { drawMark } from "./run-table.js";
import { byChart, decode } from "./series.js";

const MAX_DOTTED = 12; // points of a curve

function drawLegend({ words, compared, chosen, send }, runs) {
  const list = make(compared, "ul", { class: "nbkeras-legend" });
  chosen.forEach((number, place) => {
    const run = runs.find((other) => other.number === number);
    if (!run) return;
    const item = make(list, "li");
    drawMark(item, place, words);
    make(item, "span", { class: "nbkeras-run-name", title: run.name }, run.name);
    for (const action of ["code", "load"]) {
      const attributes = { "aria-label": fill(words[`${action}_of`], { name: run.name }) };
      button(item, `${action} ${number}`, words[action], () => send(action, [number]), attributes);
    }
  });
}

// The curves of several runs in one chart.
function drawOverlay({ words, reading }, figure, title, curves) {
  const chart = newChart(figure, title), { target, svg } = chart;
  target.dataset.key = `chart ${title}`;
  const width = Math.max(200, figure.clientWidth || 320);
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  chart.plot = drawChart(svg, curves, { width, epochs: 1, words });
  // Dots on many curves hide which is dashed.
  if (curves.some((curve) => curve.points.length > MAX_DOTTED)) svg.classList.add("nbkeras-plain");
  describe(chart, title, curves.map((curve) => `${curve.name} ${number(curve.last)}`).join(", "), words);
  reading.listen(chart);
  return chart;
}

// A table with a column for each chosen run.
function drawCells({ words, compared }, title, first, rows, names) {
  const box = make(compared, "div", {
    class: "nbkeras-table", role: "region", "aria-label": title, tabindex: "0", "data-key": `table ${title}`,
  });
  const table = make(box, "table");
  make(table, "caption", {}, title);
  const row = make(make(table, "thead"), "tr");
  make(row, "th", { scope: "col" }, first);
  names.forEach((name, place) => {
    const head = make(row, "th", { scope: "col", title: name });
    drawMark(head, place, words);
    make(head, "span", { class: "nbkeras-run-name" }, name);
  });
  const body = make(table, "tbody");
  for (const [name, ...values] of rows) {
    const line = make(body, "tr");
    make(line, "th", { scope: "row" }, name);
    for (const value of values) make(line, "td", { title: value }, value);
  }
}

export function drawCompared(panel, state) {
  const { words, compared, chosen, model } = panel, found = state.compared;
  const tables = () => [...compared.querySelectorAll(".nbkeras-table")];
  const scrolled = tables().map((table) => table.scrollLeft);
  compared.replaceChildren();
  panel.charts = [];
  compared.hidden = !chosen.length;
  if (!chosen.length) return;
  drawLegend(panel, state.runs);
  // The last comparison may be of other runs: it is not shown under the marks of these.
  if (!found || state.chosen.join() !== chosen.join()) return;
  const box = make(compared, "div", { class: "nbkeras-charts" });
  const groups = byChart(decode(found, model.get("points")));
  make(compared, "p", { class: "nbkeras-quiet" }, groups.size ? words.legend : words.no_curves);
  // All have their width before the first is drawn.
  const figures = [...groups].map(() => make(box, "figure"));
  panel.charts = [...groups].map(([title, curves], at) => drawOverlay(panel, figures[at], title, curves));
  if (found.more) make(compared, "p", { class: "nbkeras-quiet" }, fill(words.more, { count: found.more }));
  if (found.best.length) drawCells(panel, words.bests, words.metric, found.best, found.names);
  if (found.settings.length) drawCells(panel, words.settings, words.setting, found.settings, found.names);
  else if (found.names.length > 1) make(compared, "p", {}, words.same);
  tables().forEach((table, at) => { table.scrollLeft = scrolled[at] ?? 0; });
}
