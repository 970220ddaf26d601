// The table of runs: sorted by a column, with a tick for each run to compare.

import { button, fill, make } from "./dom.js";
import { number, whole } from "./number.js";

const COLUMNS = ["name", "status", "reports", "best", "best_epoch", "epochs", "seconds", "rate", "workers", "began"];
const TEXTS = new Set(["name", "status"]);
const ARROWS = { none: "", ascending: " ▲", descending: " ▼" };
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const cellClass = (key) => (TEXTS.has(key) ? "" : "nbkeras-number");

// The text of a cell.
function cellText(run, key, words) {
  const value = run[key];
  if (key === "status") return words[`status_${value}`];
  if (key === "epochs") return fill(words.epochs_of, { done: value, asked: run.asked });
  if (value === null || value === undefined) return "";
  if (key === "best") return fill(words.best_of, { metric: run.metric, value: number(value) });
  if (key === "seconds") return tenths.format(value);
  if (key === "began") return day.format(new Date(1000 * value));
  return typeof value === "number" ? whole.format(value) : value;
}

// Runs in the order of a column; those without a value stand at the end, in either direction.
function sorted(runs, { key, down }) {
  const of = (run) => run[key] ?? null;
  return runs.toSorted((a, b) => {
    if (of(a) === null || of(b) === null) return (of(a) === null) - (of(b) === null);
    const order = TEXTS.has(key) ? String(of(a)).localeCompare(String(of(b)), undefined, { numeric: true }) : of(a) - of(b);
    return down ? -order : order;
  });
}

// The sign of a run that is compared, in the colour of its curves.
export function drawMark(parent, place, words) {
  const made = make(parent, "span", { class: "nbkeras-badge" }, words.marks[place]);
  made.style.borderColor = words.colours[place];
  return made;
}

function drawHead(panel, table, columns) {
  const { words, sort } = panel;
  const row = make(make(table, "thead"), "tr");
  make(make(row, "th", { scope: "col" }), "span", { class: "nbkeras-said" }, words.compared);
  for (const key of columns) {
    const order = sort.key === key ? (sort.down ? "descending" : "ascending") : "none";
    const head = make(row, "th", { scope: "col", "aria-sort": order, class: cellClass(key) });
    const made = button(head, `sort ${key}`, words[key], () => {
      panel.sort = { key, down: sort.key === key ? !sort.down : !TEXTS.has(key) };
      panel.draw();
    });
    make(made, "span", { "aria-hidden": "true", class: "nbkeras-arrow" }, ARROWS[order]);
  }
}

function choose(panel, number, on) {
  panel.chosen = on ? [...panel.chosen, number] : panel.chosen.filter((other) => other !== number);
  panel.send("choose", panel.chosen);
  panel.draw();
}

// Opens the reports of a run.
function drawOpener({ words, send }, cell, run) {
  const said = fill(words.reports_of, { count: run.reports, name: run.name });
  button(cell, `reports ${run.number}`, whole.format(run.reports), () => send("reports", [run.number]), { "aria-label": said, title: said });
}

function drawRow(panel, body, run, columns) {
  const { words, chosen } = panel, place = chosen.indexOf(run.number);
  const row = make(body, "tr", { class: place < 0 ? "" : "nbkeras-chosen", "data-run": run.number });
  const label = make(make(row, "td"), "label");
  const box = make(label, "input", {
    type: "checkbox", "data-key": `choose ${run.number}`, "aria-label": fill(words.choose, { name: run.name }),
    disabled: place < 0 && chosen.length >= words.limit,
  });
  box.checked = place >= 0;
  box.addEventListener("change", () => choose(panel, run.number, box.checked));
  if (place >= 0) drawMark(label, place, words).setAttribute("aria-hidden", "true");
  for (const key of columns) {
    const kind = key === "name" ? "th" : "td";
    const cell = make(row, kind, { scope: key === "name" && "row", class: cellClass(key) });
    if (key === "reports" && run.reports) drawOpener(panel, cell, run);
    else cell.textContent = cellText(run, key, words);
    if (key === "name") cell.title = run.name;
    if (key === "status") cell.dataset.status = run.status;
  }
}

export function drawTable(panel, state) {
  const { words, frame, hint, chosen } = panel;
  frame.replaceChildren();
  frame.hidden = !state.runs.length;
  const table = make(frame, "table");
  const columns = COLUMNS.filter((key) => key !== "reports" || state.runs.some((run) => run.reports));
  drawHead(panel, table, columns);
  const body = make(table, "tbody");
  for (const run of sorted(state.runs, panel.sort)) drawRow(panel, body, run, columns);
  const lines = [state.runs.length ? words.hint : words.none];
  if (chosen.length >= words.limit) lines.push(fill(words.most, { most: words.limit }));
  if (state.older) lines.push(fill(words.older, { count: state.older }));
  hint.textContent = lines.join(" ");
}
