// The part of the builder for the columns that have an input of their own: the layers of one of them, for
// there may be thousands.

import { drawAdding, drawLayer, shapeText } from "./builder-layers.js";
import { make } from "./dom.js";
import { pick } from "./fields.js";

export function drawFront(builder, parent, state, columns) {
  const { words, send, isDrawing } = builder;
  if (!state.columns) return;
  const box = make(parent, "div", { class: "nbkeras-front" });
  const offered = columns.filter((column) => column.front).map((column) => [column.name, `${column.name}: ${column.front}`]);
  const act = (value) => send("column", { value });
  pick(box, {
    key: "column", label: words.column, offered: [["", words.column_none], ...offered], value: state.column, act, isDrawing,
    error: state.errors.column,
  });
  for (const input of state.inputs) drawInput(builder, box, state, input);
}

function drawInput(builder, parent, state, { name, shape, layers, error }) {
  const { words } = builder;
  const list = make(parent, "ol", { "aria-label": name });
  const first = make(make(list, "li", { class: "nbkeras-input" }), "div", { class: "nbkeras-head" });
  make(first, "span", { class: "nbkeras-dot" });
  make(first, "span", { class: "nbkeras-open" }, name);
  make(first, "span", { class: "nbkeras-quiet nbkeras-shape" }, shapeText(shape, words));
  layers.forEach((layer, at) => drawLayer(builder, list, layers, layer, at));
  if (error) make(parent, "p", { class: "nbkeras-wrong", role: "alert" }, error);
  drawAdding(builder, parent, state, name);
}
