// One class of the confusion matrix: how well it is told, what it is taken for, and rows of the chosen pair.

import { button, fill, make } from "./dom.js";
import { figure, number, whole } from "./number.js";
import { called, recordsOf, share } from "./report-data.js";
import { sortedTable } from "./sorted-table.js";

const MOST_NAMED = 5; // classes that are named
const ADDED = ["_actual", "_predicted"]; // by every row's end

const rowsIn = (value) => (Number.isInteger(value) ? whole.format(value) : number(value));

function drawClassFigures({ report, words }, parent, name) {
  const table = report.per_class, at = table ? table.index.values.indexOf(name) : -1;
  if (at < 0) return;
  const list = make(parent, "dl", { class: "nbkeras-figures" });
  for (const column of table.columns) {
    if (column.values[at] === null) continue; // of two classes only the second one has curves
    const item = make(list, "div");
    make(item, "dt", {}, called(column.name, words));
    make(item, "dd", {}, column.name === "support" ? rowsIn(column.values[at]) : figure(column.values[at]));
  }
}

// The classes with which it is mistaken most, as buttons that choose their pair.
function drawMistakes({ words }, parent, title, found, all, choose) {
  make(parent, "h4", {}, title);
  const shown = found.filter(([value]) => value).sort((a, b) => b[0] - a[0]).slice(0, MOST_NAMED);
  if (!shown.length) return make(parent, "p", { class: "nbkeras-quiet" }, words.never);
  const list = make(parent, "ul", { class: "nbkeras-mistakes" });
  for (const [value, name, row, column] of shown) {
    const made = button(make(list, "li"), `pair ${row} ${column}`, "", () => choose(row, column));
    make(made, "span", { class: "nbkeras-run-name", title: name }, name);
    make(made, "span", { class: "nbkeras-number" }, `${rowsIn(value)} · ${share(value / all)}`);
  }
}

// The worst rows of a pair, where the report has kept them.
function drawPairRows({ report, words }, parent, actual, predicted) {
  make(parent, "h4", {}, words.pair_rows);
  if (!report.worst) return make(parent, "p", { class: "nbkeras-quiet" }, words.ask_rows);
  const names = report.worst.columns.map((column) => column.name);
  const here = recordsOf(report.worst).filter((row) => row._actual === actual && row._predicted === predicted);
  if (!here.length) return make(parent, "p", { class: "nbkeras-quiet" }, words.no_pair_rows);
  const shown = names.filter((name) => !ADDED.includes(name));
  const columns = shown.map((name) => ({ title: String(name), text: (value) => (typeof value === "number" ? number(value) : String(value)) }));
  sortedTable(parent, words.pair_rows, columns, here.map((row) => shown.map((name) => row[name])));
}

// Draws a class beside the matrix, and the rows of its pair below it.
export function drawClass(view, grid, { beside: parent, below }, row, column, choose) {
  const { words } = view, { names, cells, actual, predicted } = grid, name = names[row];
  const active = parent.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  parent.replaceChildren();
  const isRight = row === column;
  const title = isRight ? fill(words.right, { name }) : fill(words.pair_title, { actual: name, predicted: names[column] });
  parent.setAttribute("aria-label", title);
  make(parent, "h3", {}, title);
  const value = cells[row][column];
  make(parent, "p", { class: "nbkeras-quiet" }, fill(words.row_share, {
    rows: rowsIn(value), all: rowsIn(actual[row]), part: share(actual[row] ? value / actual[row] : 0),
  }));
  drawClassFigures(view, parent, name);
  const others = names.map((_, at) => at).filter((at) => at !== row);
  const taken = others.map((at) => [cells[row][at], names[at], row, at]);
  drawMistakes(view, parent, fill(words.taken_for, { name }), taken, actual[row], choose);
  const taking = others.map((at) => [cells[at][row], names[at], at, row]);
  drawMistakes(view, parent, fill(words.taken_by, { name }), taking, predicted[row], choose);
  below.replaceChildren();
  if (!isRight || view.report.worst) drawPairRows(view, below, name, names[column]);
  if (active) (parent.querySelector(`[data-key="${CSS.escape(active)}"]`) ?? parent.querySelector("button"))?.focus({ preventScroll: true });
}
