// The builder: a form, with the layers as a picture that is edited. It draws the last state that the kernel
// has sent (see nbkeras/builder/editor.py), and sends the kernel a message for each thing that the user does.

import { drawData } from "./builder-columns.js";
import { remember, restore } from "./builder-focus.js";
import { everyLayer } from "./builder-layers.js";
import { drawNetwork } from "./builder-network.js";
import { drawCode, drawTraining } from "./builder-training.js";
import { make, wordsOf } from "./dom.js";
import { messageQueue } from "./queue.js";
import { redraws } from "./redraw.js";

const DRAWN = ["state", "columns", "training"]; // traits

// What a page knows of a builder beside the kernel's state. Layers go by their number, which stays when they move.
function pageState() {
  return {
    filter: "", // of the columns
    featuresOpen: false,
    leftOpen: false,
    opened: null, // layer
    dragged: null, // {number, at} of a layer
    added: { network: "Dense", input: "StringLookup" }, // the kind of layer that the user has chosen last
    newest: null, // layer, before one that was added
    drawn: [], // layers
  };
}

function drawBuilder(builder, active) {
  const { root, model, drawn: before } = builder;
  const state = model.get("state"), columns = model.get("columns"), memory = remember(root, active);
  const numbers = everyLayer(state).map((layer) => layer.number), last = Math.max(...numbers);
  if (builder.newest !== null && last > builder.newest) [builder.opened, builder.newest] = [last, null];
  if (!numbers.includes(builder.opened)) builder.opened = null;
  builder.clear();
  drawData(builder, state, columns);
  const halves = make(root, "div", { class: "nbkeras-halves" });
  drawNetwork(builder, halves, state, columns);
  const right = make(halves, "div");
  drawTraining(builder, right, state);
  drawCode(builder, right, state);
  restore(root, memory, before, numbers);
  builder.drawn = numbers;
}

function render({ model, el }) {
  const words = wordsOf(model);
  // JupyterLab would take keys that are pressed on a button for commands of the notebook.
  const frame = make(el, "div", { class: "nbkeras-builder", "data-lm-suppress-shortcuts": "true" });
  const root = make(frame, "section", { "aria-label": words.builder });
  const said = make(frame, "div", { class: "nbkeras-said", role: "status" });
  const waiting = make(frame, "p", { class: "nbkeras-deaf", role: "status" });
  const { send, unanswered, close } = messageQueue(model, (late) => { waiting.textContent = late ? words.waiting : ""; });
  let isDrawing = false;
  const clear = () => {
    isDrawing = true;
    root.replaceChildren();
    isDrawing = false;
  };
  const redraw = redraws(frame, () => drawBuilder(builder, el.getRootNode().activeElement));
  const builder = {
    ...pageState(), model, words, root, said, send, unanswered, clear, isDrawing: () => isDrawing, draw: redraw.now,
  };
  for (const name of DRAWN) model.on(`change:${name}`, redraw.later);
  redraw.now();
  return () => {
    close();
    redraw.close();
    for (const name of DRAWN) model.off(`change:${name}`, redraw.later);
  };
}

export default { render };
