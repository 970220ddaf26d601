// The confusion matrix: a grid to click and to walk through by keys, and beside it the class that was chosen.

import { fill, make } from "./dom.js";
import { number, whole } from "./number.js";
import { drawClass } from "./report-class.js";
import { matrixOf, share } from "./report-data.js";

const MOVES = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
const STRONGEST = { right: 80, wrong: 75 }; // per cent of colour that leave the ink readable
const WIDE = 420; // px that heads may take beside each other, before they are turned

const weight = (value) => (Number.isInteger(value) ? whole.format(value) : number(value));

function drawMatrixHeads({ names, words }, table) {
  const turned = names.length * Math.max(...names.map((name) => name.length)) * 8 > WIDE;
  const row = make(make(table, "thead", { role: "rowgroup" }), "tr", { role: "row" });
  const corner = make(row, "th", { role: "columnheader", class: "nbkeras-axis" });
  make(corner, "div", {}, `${words.predicted} →`);
  make(corner, "div", {}, `${words.actual} ↓`);
  for (const name of names) {
    const cell = make(row, "th", { role: "columnheader", scope: "col", class: turned && "nbkeras-turned", title: name });
    make(cell, "span", {}, name);
  }
}

// The colour says which part of the class went where: what is right in blue, what is wrong in orange.
function paintPart(cell, part, isRight) {
  if (!part) return;
  const strength = isRight ? STRONGEST.right * part : STRONGEST.wrong * Math.sqrt(part);
  const colour = isRight ? "#0072B2" : "#D55E00";
  cell.style.background = `color-mix(in srgb, ${colour} ${strength.toFixed(1)}%, transparent)`;
}

function drawMatrixRow(grid, body, actual) {
  const { names, cells, words } = grid, line = make(body, "tr", { role: "row" });
  make(line, "th", { role: "rowheader", scope: "row", title: names[actual] }, names[actual]);
  return names.map((name, predicted) => {
    const value = cells[actual][predicted], part = grid.actual[actual] ? value / grid.actual[actual] : 0;
    const cell = make(line, "td", {
      role: "gridcell", tabindex: -1, "aria-selected": "false", "data-cell": `${actual} ${predicted}`,
      "aria-label": fill(words.cell, {
        actual: names[actual], predicted: name, rows: weight(value), part: share(part),
      }),
    }, value ? weight(value) : "");
    paintPart(cell, part, actual === predicted);
    return cell;
  });
}

// Has one cell in the order of tabs, which the arrow keys move; Enter, space and a click choose it.
function walkByKeys(table, places, choose) {
  const last = places.length - 1, clip = (at) => Math.min(Math.max(at, 0), last);
  let focused = places[0][0];
  focused.tabIndex = 0;

  function focus(cell) {
    focused.tabIndex = -1;
    focused = cell;
    focused.tabIndex = 0;
    focused.focus();
  }

  const at = (cell) => cell.dataset.cell.split(" ").map(Number);
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    const row = event.target.closest("tbody th")?.parentElement.rowIndex;
    if (cell) { focus(cell); choose(...at(cell)); }
    else if (row !== undefined) { focus(places[row - 1][row - 1]); choose(row - 1, row - 1); }
  });
  table.addEventListener("keydown", (event) => {
    const [row, column] = at(focused), move = MOVES[event.key], far = event.ctrlKey;
    const ends = { Home: [far ? 0 : row, 0], End: [far ? last : row, last] };
    const next = move ? [clip(row + move[0]), clip(column + move[1])] : ends[event.key];
    if (next) focus(places[next[0]][next[1]]);
    else if (event.key === "Enter" || event.key === " ") choose(row, column);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

export function drawMatrix(view, parent) {
  const { report, words } = view, grid = { ...matrixOf(report), words };
  make(parent, "p", { class: "nbkeras-quiet" }, words.matrix_keys);
  const both = make(parent, "div", { class: "nbkeras-both" });
  const box = make(both, "div", { class: "nbkeras-matrix" });
  // Neither a screen reader nor the notebook may take the arrow keys.
  const table = make(box, "table", { role: "grid", "aria-label": words.confusion, "data-lm-suppress-shortcuts": "true" });
  drawMatrixHeads(grid, table);
  const body = make(table, "tbody", { role: "rowgroup" });
  const places = grid.names.map((_, actual) => drawMatrixRow(grid, body, actual));
  const boxes = {
    beside: make(both, "section", { class: "nbkeras-class" }),
    below: make(parent, "div", { class: "nbkeras-pair" }),
  };
  const [actual, predicted] = view.chosen ?? [0, 0];

  function choose(row, column) {
    for (const cell of table.querySelectorAll("[aria-selected=true]")) cell.setAttribute("aria-selected", "false");
    places[row][column].setAttribute("aria-selected", "true");
    view.chosen = [row, column];
    drawClass(view, grid, boxes, row, column, choose);
    view.say(places[row][column].getAttribute("aria-label"));
  }

  walkByKeys(table, places, choose);
  places[actual][predicted].setAttribute("aria-selected", "true");
  drawClass(view, grid, boxes, actual, predicted, choose);
}
