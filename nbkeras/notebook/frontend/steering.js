// What the user asks of a run that trains: stop, pause, resume, another learning rate.

import { make, unique } from "./dom.js";
import { asking } from "./steering-requests.js";
import { rateField } from "./steering-rate.js";

function makeButton(parent, name, sign, label) {
  const button = make(parent, "button", { class: name, type: "button" });
  const mark = make(button, "span", { "aria-hidden": "true" }, sign);
  return { button, mark, text: make(button, "span", {}, label) };
}

// Below the row of the buttons, as wide as the panel.
function makeHints(hints) {
  return {
    typed: make(hints, "p", { class: "nbkeras-hint" }),
    wrong: make(hints, "p", { class: "nbkeras-wrong", role: "alert", id: unique() }),
    hint: make(hints, "p", { class: "nbkeras-hint", "aria-live": "polite" }),
  };
}

function listenToStop({ model, requests }, { button }) {
  const state = () => model.get("state");
  button.addEventListener("click", () => {
    // A busy kernel reads no message before its cell ends, but an interrupt always reaches it, and our handler
    // turns it into a stop. An idle kernel, with the run in the background, reads.
    const kernel = model.widget_manager?.kernel, interrupted = !state().background && kernel?.interrupt;
    if (interrupted) kernel.interrupt();
    requests.ask("stop", {}, () => interrupted || state().stopping || state().phase === "done");
  });
}

function listenToPause({ model, requests, wrong }, { button }) {
  const { asked, ask } = requests;
  button.addEventListener("click", () => {
    const wanted = !(asked.pause ? asked.pause.wanted : model.get("state").pausing);
    if (wrong.dataset.kind === "pause") wrong.textContent = "";
    ask(wanted ? "pause" : "resume", { wanted });
  });
}

function drawPause({ words, requests }, { button, mark, text }, state) {
  const { pause } = requests.asked, wanted = pause ? pause.wanted : state.pausing;
  const reached = wanted ? state.phase === "paused" : !pause && state.phase !== "paused";
  const key = wanted ? (reached ? "resume" : "pause_asked") : reached ? "pause" : "resume_asked";
  text.textContent = words[key];
  mark.textContent = key === "resume" || key === "resume_asked" ? "▶" : "❚❚";
  button.title = wanted ? words.resume_title : words.pause_title;
}

function drawHint({ words, requests, hint }, state, ending) {
  const late = ["pause", "learning_rate"].some((kind) => requests.isUnanswered(kind));
  const why = late && !ending ? (state.background ? words.stop_hint : words.steer_hint_foreground) : "";
  if (hint.textContent !== why) hint.textContent = why;
}

export function steering({ model, parent, hints, words, send, changed }) {
  const box = make(parent, "div", { class: "nbkeras-steering" });
  const steer = { model, words, changed, requests: asking(model, send, changed), ...makeHints(hints) };
  const { requests } = steer, { asked } = requests;
  const rate = rateField(box, steer);
  const buttons = make(box, "span", { class: "nbkeras-buttons" });
  const pause = makeButton(buttons, "nbkeras-pause", "❚❚", words.pause);
  const stop = makeButton(buttons, "nbkeras-stop", "■", words.stop);
  stop.button.title = words.stop_title;
  listenToStop(steer, stop);
  listenToPause(steer, pause);

  function draw(gone) {
    const state = model.get("state"), ending = Boolean(asked.stop) || state.stopping;
    const { refused, reached } = requests.settle(state);
    for (const [kind, error] of refused) {
      steer.wrong.textContent = error;
      steer.wrong.dataset.kind = kind;
    }
    if (reached.includes("learning_rate")) rate.clearTyped();
    box.hidden = hints.hidden = state.phase === "done" || gone;
    stop.button.disabled = pause.button.disabled = ending;
    stop.text.textContent = ending ? words.stop_asked : words.stop;
    drawPause(steer, pause, state);
    rate.draw(ending);
    drawHint(steer, state, ending);
  }

  return {
    draw,
    stopAsked: () => Boolean(asked.stop),
    stopLate: () => requests.isLate("stop") && !model.get("state").stopping,
    close: requests.close,
  };
}
