// A report to click through: its figures, and tabs of what it holds. It needs no kernel.

import { fill, make } from "./dom.js";
import { csvText, drawFiles, fileName } from "./files.js";
import { figure, number, whole } from "./number.js";
import { drawCurves, drawResiduals, drawTruth } from "./report-charts.js";
import { called, share, tableOf } from "./report-data.js";
import { drawMatrix } from "./report-matrix.js";
import { sortedTable } from "./sorted-table.js";
import { tabs } from "./tabs.js";

const TOP_SHOWN = 5; // of the parts of rows whose class is among the k most probable ones

// The figures as pairs of a name and words.
function figuresOf({ report, words }) {
  const exact = Object.entries(report.figures).map(([name, value]) => {
    const error = report.areas[name];
    return [called(name, words), figure(value) + (error ? ` ± ${number(error)}` : "")];
  });
  const tops = Object.entries(report.top).filter(([k]) => k > 1 && k <= TOP_SHOWN)
    .map(([k, value]) => [fill(words.top, { k }), figure(value)]);
  // A metric may give one value for each class.
  const values = (value) => (value?.$array?.slice(1) ?? [value].flat()).map(figure).join(", ");
  const own = Object.entries(report.metrics).map(([name, value]) => [fill(words.own, { name }), values(value)]);
  return [...exact, ...tops, ...own];
}

function drawAllFigures(view, parent) {
  const list = make(parent, "dl", { class: "nbkeras-figures nbkeras-large" });
  for (const [name, words] of figuresOf(view)) {
    const item = make(list, "div");
    make(item, "dt", {}, name);
    make(item, "dd", {}, words);
  }
}

function drawSorted({ report, words }, parent, key, title, pick) {
  const { columns, rows } = tableOf(report[key], words);
  sortedTable(parent, title, columns, rows, pick);
}

// Rows of the user's own have figures of any size.
function drawWorst({ report, words }, parent) {
  const { columns, rows } = tableOf(report.worst, words);
  const text = (value) => (typeof value === "number" ? number(value) : String(value));
  sortedTable(parent, words.worst, columns.map(({ title }) => ({ title, text })), rows);
}

function drawPairs({ state, report, words }, parent) {
  make(parent, "p", { class: "nbkeras-quiet" }, fill(words.too_many, { count: report.classes.length }));
  const columns = [
    { title: words.actual, text: String }, { title: words.predicted, text: String },
    { title: words.weight, text: number }, { title: words.part, text: share },
  ];
  sortedTable(parent, words.mistaken, columns, state.pairs);
}

// Curves as the charts want them; of a table of classes the area comes from one of its columns.
function curvesOf(report, key, x, y, column) {
  const areas = report.per_class?.columns.find(({ name }) => name === column)?.values;
  return Object.entries(report[key]).map(([name, curve]) => ({
    name, x: curve[x], y: curve[y], area: areas?.[report.per_class.index.values.indexOf(name)] ?? undefined,
  })).filter(({ x: xs, y: ys }) => [...xs, ...ys].every((one) => typeof one === "number"));
}

function calibrationOf({ report, words }) {
  return Object.entries(report.calibration).map(([name, table]) => ({
    name: name === "confidence" ? words.all_classes : name,
    x: table.columns[0].values, y: table.columns[1].values,
  }));
}

// The tabs of what a report holds: for each a key, a title, what draws it, and the lines of its CSV file.
function entriesOf(view) {
  const { state, report, words } = view, found = [];
  const add = (key, title, there, draw) => { if (there) found.push({ key, title, draw }); };
  add("confusion", words.confusion, report.confusion, (parent) => drawMatrix(view, parent));
  add("pairs", words.mistaken, state.pairs.length, (parent) => drawPairs(view, parent));
  const pick = report.confusion ? (row) => view.show(row[0]) : null;
  const title = report.task === "regression" ? words.amounts : words.classes;
  add("per_class", title, report.per_class, (parent) => drawSorted(view, parent, "per_class", title, pick));
  const roc = curvesOf(report, "roc", "false_positive_rate", "true_positive_rate", "roc auc");
  add("roc", words.roc, roc.length, (parent) => drawCurves(view, parent, words.roc, roc,
    { x: words.false_positive, y: words.true_positive }, { diagonal: true }));
  const precision = curvesOf(report, "precision_recall", "recall", "precision", "average precision");
  add("precision_recall", words.precision_recall, precision.length, (parent) => drawCurves(view, parent,
    words.precision_recall, precision, { x: words.recall, y: words.precision }));
  const calibration = calibrationOf(view);
  add("calibration", words.calibration, calibration.length, (parent) => drawCurves(view, parent, words.calibration,
    calibration, { x: words.said, y: words.happened }, { diagonal: true, dots: true, first: report.calibration.confidence ? 1 : undefined }));
  const alone = report.sample && report.classes.length === 1;
  add("truth", words.truth, alone, (parent) => drawTruth(view, parent));
  add("residuals", words.residuals, alone, (parent) => drawResiduals(view, parent));
  add("slices", words.slices, report.slices, (parent) => drawSorted(view, parent, "slices", words.slices));
  add("worst", words.worst, report.worst, (parent) => drawWorst(view, parent));
  return found;
}

// The lines of a CSV file of what is shown: of a table its own, of anything else the classes or the figures.
function linesOf({ state, report, words }, key) {
  if (key === "pairs") return [["actual", "predicted", "rows", "part"], ...state.pairs];
  const table = report[["confusion", "slices", "worst"].includes(key) ? key : "per_class"];
  if (!table) return [["figure", "value"], ...Object.entries(report.figures)];
  const { names, rows } = tableOf(table, words);
  return [names, ...rows];
}

// In a file too, which may be read as if it were whole.
const allNotes = ({ state, report, words }) => [...report.notes, ...(state.cut ? [words.cut] : [])];

function drawDownloads(view, parent, shown) {
  const { report, words, picture } = view;
  const parts = (ending) => (ending === "csv" ? [report.title, shown()] : [report.title]);
  drawFiles(parent, words, {
    name: (ending) => fileName(parts(ending).filter(Boolean).join(" "), ending),
    csv: () => csvText(linesOf(view, shown())),
    json: () => JSON.stringify({ ...report, notes: allNotes(view) }),
    picture,
  });
}

// Draws a report into an element: its state (see reports/view.py), and its picture as base64.
export function drawReport(parent, words, state, picture) {
  const { report } = state, label = fill(words.report, { title: report.title });
  const root = make(parent, "section", { class: "nbkeras nbkeras-report", "aria-label": label });
  const head = make(root, "div", { class: "nbkeras-head" });
  make(head, "strong", { class: "nbkeras-name" }, report.title);
  make(head, "span", { class: "nbkeras-quiet" }, fill(words.rows, { count: whole.format(report.rows) }));
  const view = { state, report, words, picture, chosen: null };
  drawAllFigures(view, root);
  const said = make(root, "div", { class: "nbkeras-said", role: "status" });
  view.say = (line) => { said.textContent = line; };
  const entries = entriesOf(view);
  let shown = () => "";
  if (entries.length) {
    const { chosen, choose } = tabs(root, words.parts, entries);
    shown = chosen;
    view.show = (name) => {
      const at = report.confusion.index.values.indexOf(name);
      view.chosen = [at, at];
      choose("confusion");
    };
  }
  drawDownloads(view, head, shown);
  const notes = make(root, "ul", { class: "nbkeras-notes" });
  for (const note of allNotes(view)) make(notes, "li", {}, note);
}
