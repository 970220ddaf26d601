// The part of the builder for the network: what it starts from, its layers, and another layer.

import { drawFront } from "./builder-front.js";
import { drawAdding, drawLayer, shapeText } from "./builder-layers.js";
import { fill, make } from "./dom.js";
import { field, group, options } from "./fields.js";
import { whole } from "./number.js";

export function drawNetwork(builder, parent, state, columns) {
  const { words } = builder;
  const box = group(parent, words.network, "network");
  drawStart(builder, box, state);
  drawFront(builder, box, state, columns);
  const list = make(box, "ol", { "aria-label": words.network });
  const input = make(make(list, "li", { class: "nbkeras-input" }), "div", { class: "nbkeras-head" });
  make(input, "span", { class: "nbkeras-dot" });
  make(input, "span", { class: "nbkeras-open" }, state.columns ? words.input_columns : words.input);
  make(input, "span", { class: "nbkeras-quiet nbkeras-shape" }, shapeText(state.input, words));
  state.layers.forEach((layer, at) => drawLayer(builder, list, state.layers, layer, at));
  if (!state.layers.length) make(box, "p", { class: "nbkeras-wrong", role: "alert" }, fill(words.no_layers, { layer: state.answer }));
  drawAdding(builder, box, state, "");
  const memory = whole.format(Math.ceil(state.memory / 2 ** 20));
  make(box, "p", { class: "nbkeras-total" }, fill(words.total, { count: whole.format(state.weights), memory }));
}

function drawStart(builder, parent, state) {
  const { words, send } = builder;
  const { box, common, addError } = field(parent, "preset", words.preset, state.errors.preset ?? state.errors.model);
  const start = make(box, "select", common);
  // A selected option of its own, so that the user can choose the same preset again.
  if (!state.preset) make(start, "option", { value: "", selected: true, disabled: true }, words.own);
  options(make(start, "optgroup", { label: words.presets }), state.presets, state.preset);
  const models = state.models.map((name) => [`model ${name}`, name]);
  if (models.length) options(make(start, "optgroup", { label: words.models }), models, null);
  start.addEventListener("change", () => {
    builder.opened = null;
    if (start.value.startsWith("model ")) send("model", { value: start.value.slice(6) });
    else send("preset", { value: start.value });
  });
  addError();
}
