// A table that its heads sort.

import { button, make } from "./dom.js";

const SIGNS = { none: "", ascending: " ▲", descending: " ▼" };

// Rows in the order of one column; those without a value stand at the end, in either direction.
function ordered(rows, { key, down }) {
  if (key === null) return rows;
  const missing = (row) => row[key] === null || row[key] === undefined;
  return rows.toSorted((a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const numbers = typeof a[key] === "number" && typeof b[key] === "number";
    const order = numbers ? a[key] - b[key] : String(a[key]).localeCompare(String(b[key]), undefined, { numeric: true });
    return down ? -order : order;
  });
}

// Draws a table of columns [{title, text}], where text writes a value, and of rows, arrays of values. What is in
// the first column names its row, and is a button where `pick` takes rows.
export function sortedTable(parent, label, columns, rows, pick = null) {
  const box = make(parent, "div", { class: "nbkeras-sorted", role: "region", "aria-label": label, tabindex: "0" });
  const isNumber = columns.map((_, at) => rows.every((row) => row[at] === null || typeof row[at] === "number"));
  let sort = { key: null, down: false };

  function drawHeads(row) {
    columns.forEach(({ title }, at) => {
      const order = sort.key === at ? (sort.down ? "descending" : "ascending") : "none";
      const head = make(row, "th", { scope: "col", "aria-sort": order, class: isNumber[at] && "nbkeras-number" });
      const made = button(head, `sort ${at}`, title, () => {
        sort = { key: at, down: sort.key === at ? !sort.down : isNumber[at] };
        draw();
        box.querySelector(`[data-key="sort ${at}"]`).focus({ preventScroll: true });
      });
      make(made, "span", { "aria-hidden": "true" }, SIGNS[order]);
    });
  }

  function drawCell(line, row, at) {
    const words = row[at] === null || row[at] === undefined ? "" : columns[at].text(row[at]);
    const cell = make(line, at ? "td" : "th", { scope: !at && "row", class: isNumber[at] && "nbkeras-number", title: words });
    if (at || !pick) cell.textContent = words;
    else button(cell, `row ${words}`, words, () => pick(row));
  }

  function draw() {
    box.replaceChildren();
    const table = make(box, "table");
    drawHeads(make(make(table, "thead"), "tr"));
    const body = make(table, "tbody");
    for (const row of ordered(rows, sort)) {
      const line = make(body, "tr");
      columns.forEach((_, at) => drawCell(line, row, at));
    }
  }

  draw();
}
