// What the panel of one run says beside its charts: what the run does, how long it takes, notes, and a short
// form for screen readers.

import { fill, make } from "./dom.js";
import { clock, number } from "./number.js";
import { metricOf } from "./series.js";

const SAY_EVERY = 5000; // ms between what a screen reader says
const SILENT_AFTER = 30000; // ms; the kernel sends at least every 10 s
const MAX_SAID = 4; // values

const epochOf = (state) => state.epoch || 1;

// What the run does now.
export function sentence({ model, words, steer, gone }) {
  const state = model.get("state");
  if (state.phase === "done") return state.end[words.language];
  if (gone) return fill(words.kernel_gone, { epoch: epochOf(state) });
  if (state.stopping) return words.stopping;
  if (steer.stopAsked()) return words.stop_asked;
  return fill(words[`phase_${state.sentence}`], { ...state, epoch: epochOf(state) });
}

// The loss of the current epoch so far.
export function soFar(state, words) {
  const end = state.losses.at(-1);
  if (!end) return "";
  const template = state.workers > 1 ? words.so_far_first : words.so_far;
  return fill(template, { epoch: Math.ceil(end[0]), value: number(end[1]) });
}

export function drawTimes({ model, words, times, gone, received }) {
  const state = model.get("state"), since = performance.now() - received;
  if (state.phase === "done" || gone) return times.replaceChildren();
  const parts = [fill(words.elapsed, { time: clock(state.elapsed + since / 1000) })];
  if (state.remaining !== null) parts.push(fill(words.remaining, { time: clock(state.remaining - since / 1000) }));
  if (state.rate > 0) parts.push(fill(words.rate, { rows: state.rate }));
  if (since > SILENT_AFTER) parts.push(fill(words.silent, { seconds: since / 1000 }));
  times.textContent = parts.join(" · ");
}

export function drawNotes({ model, words, notes, steer, gone }) {
  const state = model.get("state"), lines = [...state.notes];
  if (state.more) lines.push(fill(words.more, { count: state.more }));
  if (steer.stopLate() && !gone) lines.push(state.background ? words.stop_hint : words.stop_hint_foreground);
  if (lines.join("\n") === notes.dataset.lines) return;
  notes.dataset.lines = lines.join("\n");
  notes.replaceChildren();
  for (const line of lines) make(notes, "li", {}, line);
}

// Has a screen reader say what the run does, and its first values: not all the time while it trains.
export function say(panel, doing) {
  const { model, words, tool, said, gone } = panel, state = model.get("state"), time = performance.now();
  if (state.phase !== "done" && !gone && time - panel.spoken < SAY_EVERY) return;
  const curves = state.curves.filter((curve) => !tool.hides(metricOf(curve))).slice(0, MAX_SAID);
  const values = curves.map((curve) => `${curve.name} ${number(curve.last)}`);
  if (!values.length && state.losses.length) values.push(soFar(state, words));
  const isTraining = state.phase === "training" && !gone;
  const short = isTraining ? fill(words.said_epoch, { ...state, epoch: epochOf(state) }) : doing;
  const all = [short, ...values].join(", ");
  if (all === said.textContent) return;
  said.textContent = all;
  panel.spoken = time;
}
