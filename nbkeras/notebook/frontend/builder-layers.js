// One layer of the builder's network: a row to open, to move and to remove, and its arguments.

import { button, fill, make } from "./dom.js";
import { choice, entry, field, options, tick } from "./fields.js";
import { whole } from "./number.js";

const BAR = 44; // px, of the layer with the most weights
const SHORTEST_BAR = 3; // px

export const shapeText = (sizes, words) => `(${sizes.map((size) => size ?? words.any).join(", ")})`;

// `layers` are all of its chain.
export function drawLayer(builder, list, layers, layer, at) {
  const { words } = builder;
  const isOpen = builder.opened === layer.number;
  const wrong = layer.error || layer.arguments.find((argument) => argument.error)?.error;
  const row = make(list, "li", { draggable: "true", class: wrong ? "nbkeras-bad" : "" });
  const head = make(row, "div", { class: "nbkeras-head" });
  make(head, "span", { class: "nbkeras-dot", style: `background:${words.colours[layer.kind]}` });
  const opener = drawOpener(builder, head, layer, isOpen);
  make(head, "span", { class: "nbkeras-quiet nbkeras-shape" }, layer.shape ? shapeText(layer.shape, words) : "");
  drawWeights(head, layer, layers, words);
  const move = (by) => builder.send("move", { layer: layer.number, by });
  const remove = () => {
    if (isOpen) builder.opened = null;
    builder.send("remove", { layer: layer.number });
  };
  drawMoves(words, head, layer, { at, count: layers.length, move, remove });
  opener.addEventListener("keydown", (event) => {
    const act = { ArrowUp: () => move(-1), ArrowDown: () => move(1) }[event.key];
    if (event.key === "Delete") remove();
    else if (event.altKey && act) act();
    else return;
    event.preventDefault();
  });
  makeDraggable(builder, row, layer.number, at);
  if (isOpen) drawArguments(builder, row, layer);
  // An open layer shows the error of an argument at its field.
  if (layer.error || (wrong && !isOpen)) make(row, "p", { class: "nbkeras-wrong", role: "alert" }, wrong);
}

function drawOpener(builder, head, layer, isOpen) {
  const toggle = () => {
    builder.opened = isOpen ? null : layer.number;
    builder.draw();
  };
  const opener = button(head, `layer ${layer.number}`, "", toggle, {
    class: "nbkeras-open", "aria-expanded": String(isOpen), title: builder.words.keys,
  });
  make(opener, "strong", {}, layer.kind);
  if (layer.said) make(opener, "span", { class: "nbkeras-quiet" }, ` ${layer.said}`);
  return opener;
}

function drawWeights(head, layer, layers, words) {
  const share = make(head, "span", { class: "nbkeras-share" });
  if (!layer.weights) return;
  const most = Math.max(...layers.map((other) => other.weights));
  const width = Math.max(SHORTEST_BAR, (BAR * layer.weights) / most), count = whole.format(layer.weights);
  make(share, "i", { style: `background:${words.colours[layer.kind]};width:${width}px` });
  make(share, "span", { title: fill(words.weights, { count }) }, count);
}

function drawMoves(words, head, { number, kind }, { at, count, move, remove }) {
  const named = { number: at + 1, kind }, key = `layer ${number}`;
  const buttons = make(head, "span", { class: "nbkeras-moves" });
  const [up, down] = [() => move(-1), () => move(1)];
  button(buttons, `${key} up`, "↑", up, { disabled: at === 0, "aria-label": fill(words.up, named) });
  button(buttons, `${key} down`, "↓", down, { disabled: at === count - 1, "aria-label": fill(words.down, named) });
  button(buttons, `${key} remove`, "✕", remove, { "aria-label": fill(words.remove, named) });
}

function makeDraggable(builder, row, number, at) {
  const unmark = () => row.classList.remove("nbkeras-below", "nbkeras-above");
  row.addEventListener("dragstart", (event) => {
    builder.dragged = { number, at };
    event.dataTransfer.effectAllowed = "move";
  });
  row.addEventListener("dragend", () => { builder.dragged = null; });
  row.addEventListener("dragover", (event) => {
    const { dragged } = builder;
    if (dragged === null) return;
    event.preventDefault();
    row.classList.toggle("nbkeras-below", dragged.at < at);
    row.classList.toggle("nbkeras-above", dragged.at > at);
  });
  row.addEventListener("dragleave", unmark);
  row.addEventListener("drop", (event) => {
    const { dragged } = builder;
    event.preventDefault();
    unmark();
    if (dragged !== null && dragged.number !== number) builder.send("move", { layer: dragged.number, onto: number });
  });
}

function drawArguments({ words, send, isDrawing }, row, layer) {
  const box = make(row, "div", { class: "nbkeras-arguments" });
  if (!layer.arguments.length) make(box, "p", { class: "nbkeras-quiet" }, words.no_arguments);
  for (const { name, type, options: offered, value, error } of layer.arguments) {
    const act = (typed) => send("set", { layer: layer.number, name, value: typed });
    const common = { key: `layer ${layer.number} ${name}`, label: name, value, act, error };
    if (type === "flag") tick(box, common);
    else if (type === "choice") choice(box, { ...common, offered, none: words.none });
    else entry(box, { ...common, isDrawing });
  }
}

// Adds a layer to the network, or to an input that is named.
export function drawAdding(builder, parent, state, name) {
  const { words, send, added } = builder;
  const row = make(parent, "div", { class: "nbkeras-adding" });
  const label = name ? fill(words.kind_of, { name }) : words.kind;
  const { box, common, addError } = field(row, `kind ${name}`, label, name ? "" : state.errors.add);
  const kinds = make(box, "select", common), key = name ? "input" : "network";
  for (const [group, offered] of Object.entries(state.offered)) {
    options(make(kinds, "optgroup", { label: words[`group_${group}`] }), offered, added[key]);
  }
  kinds.addEventListener("change", () => { added[key] = kinds.value; });
  addError();
  const act = () => {
    // The new layer goes behind the open one, and is opened when it is there.
    builder.newest = Math.max(-1, ...everyLayer(state).map((layer) => layer.number));
    send("add", { kind: kinds.value, behind: builder.opened, input: name });
  };
  button(row, name ? `add ${name}` : "add", words.add, act, name ? { "aria-label": fill(words.add_to, { name }) } : {});
}

// The layers of the network, and of the column that is shown.
export const everyLayer = (state) => [...state.inputs.flatMap((input) => input.layers), ...state.layers];
