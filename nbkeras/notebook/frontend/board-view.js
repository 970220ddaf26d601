// Models side by side: a table to sort, the picture, and files. It needs no kernel.

import { fill, make } from "./dom.js";
import { csvText, drawFiles, fileName } from "./files.js";
import { figure, whole } from "./number.js";
import { sortedTable } from "./sorted-table.js";

// What the columns are called, and how their values are written; a spread stands behind its figure.
function columnsOf({ figures, folds }, words) {
  const spread = folds > 1 ? [{ title: "±", text: figure }] : [];
  return [
    { title: words.model, text: String }, { title: words.kind, text: (value) => words[`kind_${value}`] },
    ...figures.flatMap((name) => [{ title: name, text: figure }, ...spread]),
    { title: words.train_axis, text: (value) => value.toLocaleString(undefined, { maximumSignificantDigits: 3 }) },
    { title: words.predict, text: (value) => whole.format(Math.round(value)) },
    { title: words.size, text: String }, { title: words.note, text: String },
  ];
}

function rowsOf({ entries, figures, folds }, words) {
  return entries.map((entry) => [
    entry.name, entry.kind,
    ...figures.flatMap((name) => [entry.means[name], ...(folds > 1 ? [entry.spreads[name]] : [])]),
    entry.seconds, entry.rate, entry.size, noteOf(entry, words),
  ]);
}

// What there is to know of a model besides its figures; of one that has not ended well, why.
function noteOf({ status, note }, words) {
  return [status === "done" ? "" : words[status], note].filter(Boolean).join(": ");
}

// Draws a comparison into an element: its state (see leaderboards/view.py), and its picture as base64.
export function drawBoard(parent, words, state, picture) {
  const { language } = words, title = state.title[language];
  const root = make(parent, "section", { class: "nbkeras nbkeras-report", "aria-label": title });
  const head = make(root, "div", { class: "nbkeras-head" });
  make(head, "strong", { class: "nbkeras-name" }, title);
  make(head, "span", { class: "nbkeras-quiet" }, state.rows[language]);
  make(root, "p", { class: "nbkeras-verdict", role: "status" }, state.sentence[language]);
  const columns = columnsOf(state, words), rows = rowsOf(state, words);
  // Notes are long, and stand below.
  sortedTable(root, fill(words.compared, { title }), columns.slice(0, -1), rows.map((row) => row.slice(0, -1)));
  if (picture) {
    const alt = state.sentence[language];
    make(root, "img", { class: "nbkeras-still", src: `data:image/png;base64,${picture}`, alt });
  }
  drawFiles(head, words, {
    name: (ending) => fileName(title, ending),
    csv: () => csvText([columns.map((column) => column.title), ...rows]),
    json: () => JSON.stringify(state.whole),
    picture,
  });
  const notes = make(root, "ul", { class: "nbkeras-notes" });
  const own = state.entries.map((entry) => [entry.name, noteOf(entry, words)]).filter(([, note]) => note);
  for (const note of [...own.map((pair) => pair.join(": ")), ...state.notes]) make(notes, "li", {}, note);
}
