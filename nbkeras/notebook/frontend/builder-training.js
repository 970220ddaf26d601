// The part of the builder for the training: its settings, its button, and the code of all that is chosen.

import { button, copyText, make } from "./dom.js";
import { choice, entry, group, tick } from "./fields.js";

const COPIED = 2000; // ms for which the button says so

export function drawTraining(builder, parent, state) {
  const { words, send, isDrawing } = builder;
  const box = group(parent, words.training, "training"), row = make(box, "div", { class: "nbkeras-row" });
  const common = (key) => {
    const act = (value) => send(key, { value });
    return { key, label: words[key], value: state[key], act, error: state.errors[key] };
  };
  const drawChoice = (key, offered) => choice(row, { ...common(key), offered, none: words.none });
  const drawEntry = (key, hint) => entry(row, { ...common(key), isDrawing, hint });
  drawChoice("loss", state.losses);
  drawChoice("optimizer", state.optimizers);
  for (const key of ["learning_rate", "batch_size", "epochs", "validation_split"]) drawEntry(key);
  drawEntry("patience", words.patience_hint);
  drawEntry("workers");
  drawChoice("backend", state.backends);
  drawMetrics(builder, box, state);
  drawStartButton(builder, box, state);
}

function drawStartButton({ words, send, model }, parent, { ready }) {
  const training = model.get("training");
  const box = make(parent, "div", { class: "nbkeras-go" });
  // A button that is disabled would lose the focus.
  const isOff = !ready || training.phase !== "";
  const attributes = { class: "nbkeras-main", "aria-disabled": String(isOff) };
  button(box, "train", words.train_now, () => isOff || send("train"), attributes);
  const why = training.phase ? words[`train_${training.phase}`] : ready ? words.what : words.not_ready;
  make(box, "span", { class: "nbkeras-quiet" }, why);
  if (training.error) make(parent, "p", { class: "nbkeras-wrong", role: "alert" }, training.error);
}

function drawMetrics({ words, send, unanswered }, parent, state) {
  const row = make(parent, "div", { class: "nbkeras-metrics", role: "group", "aria-label": words.metrics });
  make(row, "span", { class: "nbkeras-quiet", "aria-hidden": "true" }, words.metrics);
  const chosen = new Set(unanswered("metrics")?.value ?? state.metrics);
  for (const metric of state.known_metrics) {
    const act = (on) => {
      on ? chosen.add(metric) : chosen.delete(metric);
      send("metrics", { value: [...chosen] });
    };
    tick(row, { key: `metric ${metric}`, label: metric, value: chosen.has(metric), act });
  }
}

export function drawCode({ words, said }, parent, state) {
  const box = group(parent, words.code, "code");
  const pre = make(box, "pre", { tabindex: "0", "aria-label": words.code, "data-key": "code" });
  make(pre, "code", {}, state.code);
  const made = button(box, "copy", words.copy, async () => {
    made.textContent = said.textContent = (await copyText(state.code, pre)) ? words.copied : words.copy_by_hand;
    setTimeout(() => { made.textContent = words.copy; said.textContent = ""; }, COPIED);
  });
}
