// What the reader asks of a run at work: stop, pause, resume, another learning rate.

import { untilHeard } from "./again.js";
import { make, unique } from "./dom.js";

const HINT_AFTER = 1500; // ms that a wish may go unanswered before the panel says why
const GONE = ["restarting", "autorestarting", "terminating", "dead"]; // what a kernel is that has lost its run

// Words to the kernel. They go over a line on which the kernel never speaks: so a kernel that reads in
// threads beside its busy cell hears them at once (see quiet.py).
export function line(model) {
  const quiet = Promise.resolve(model.widget_manager?.get_model?.(model.get("line"))).catch(() => null);
  const ends = new Map();

  function tell(kind, message, isHeard = () => false) {
    ends.get(kind)?.();
    ends.set(kind, untilHeard(() => quiet.then((other) => (other ?? model).send(message)), isHeard));
  }

  // A kernel that was restarted, or has died, knows nothing of the run any more.
  function whenGone(call) {
    const signal = model.widget_manager?.kernel?.statusChanged;
    const hear = (_, status) => { if (GONE.includes(status)) call(); };
    signal?.connect(hear);
    ends.set("gone", () => signal?.disconnect(hear));
  }

  return { tell, whenGone, close: () => ends.forEach((end) => end()) };
}

const plain = (rate) => (rate === null ? "" : String(Number(rate.toPrecision(6))));

export function steering({ model, parent, hints, words, tell, changed }) {
  const box = make(parent, "div", { class: "nbkeras-steering" });
  const state = () => model.get("state");
  const asked = {}; // by kind, since when and for what
  const late = (kind) => asked[kind] && performance.now() - asked[kind].since > HINT_AFTER;
  const timers = [];

  const label = make(box, "label", { class: "nbkeras-rate", title: words.learning_rate_title });
  make(label, "span", {}, words.learning_rate);
  const field = make(label, "input", { type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
  const buttons = make(box, "span", { class: "nbkeras-buttons" });
  const pause = button("nbkeras-pause", "❚❚", words.pause);
  const stop = button("nbkeras-stop", "■", words.stop);
  stop.button.title = words.stop_title;
  // Below the row of the buttons, as wide as the panel.
  const typed = make(hints, "p", { class: "nbkeras-hint" });
  const wrong = make(hints, "p", { class: "nbkeras-wrong", role: "alert", id: unique() });
  const hint = make(hints, "p", { class: "nbkeras-hint", "aria-live": "polite" });

  function button(name, sign, text) {
    const made = make(buttons, "button", { class: name, type: "button" });
    const mark = make(made, "span", { "aria-hidden": "true" }, sign);
    return { button: made, mark, text: make(made, "span", {}, text) };
  }

  // Asks the kernel, whose answer comes with a snapshot.
  function ask(type, about = {}, isHeard = () => false) {
    const kind = type === "resume" ? "pause" : type, number = unique();
    const answer = () => state().answers?.[type];
    const heard = () => isHeard() || answer()?.ask === number;
    asked[kind] = { ...about, since: performance.now(), heard, error: () => (heard() && answer()?.error) || "" };
    tell(kind, { type, ask: number, value: about.value }, heard);
    timers.push(setTimeout(changed, HINT_AFTER + 50));
    changed();
  }

  function refuse(kind, error) {
    wrong.textContent = error;
    wrong.dataset.kind = kind;
    delete asked[kind];
  }

  stop.button.addEventListener("click", () => {
    // A busy kernel reads no message before its cell ends, but it always hears an interrupt,
    // which our handler turns into a stop. An idle one, with the run in the background, reads.
    const kernel = model.widget_manager?.kernel, interrupted = !state().background && kernel?.interrupt;
    if (interrupted) kernel.interrupt();
    ask("stop", {}, () => interrupted || state().stopping || state().phase === "done");
  });

  pause.button.addEventListener("click", () => {
    const wanted = !(asked.pause ? asked.pause.wanted : state().pausing);
    if (wrong.dataset.kind === "pause") wrong.textContent = "";
    ask(wanted ? "pause" : "resume", { wanted });
  });

  const restore = () => { field.value = plain(state().learning_rate); field.dataset.typed = ""; };

  // Who came by Tab has all of it selected, and types over the next value too.
  function show(rate) {
    if (field.value === rate) return;
    const focused = document.activeElement === field;
    const all = focused && field.selectionEnd - field.selectionStart === field.value.length;
    field.value = rate;
    if (all) field.select();
  }

  field.addEventListener("input", () => {
    field.dataset.typed = field.value.trim() === plain(state().learning_rate) ? "" : "yes";
    wrong.textContent = "";
    changed();
  });

  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      restore();
      wrong.textContent = "";
    } else if (event.key === "Enter") {
      event.preventDefault();
      wrong.textContent = "";
      ask("learning_rate", { value: field.value.trim(), before: state().learning_rate });
    } else return;
    event.stopPropagation();
    changed();
  });

  // What the kernel has answered since.
  function hear(now) {
    const { pause: paused, learning_rate: rate } = asked;
    for (const [kind, one] of Object.entries({ pause: paused, learning_rate: rate })) {
      if (one?.error()) refuse(kind, one.error());
    }
    // Another view may have taken it back meanwhile.
    if (paused?.heard() && (now.pausing === paused.wanted || late("pause"))) delete asked.pause;
    // Until the workers train with it, the field goes on showing what was typed.
    const same = (other) => Math.abs(now.learning_rate - other) <= 1e-6 * now.learning_rate;
    if (rate?.heard() && (now.learning_rate !== rate.before || same(Number(rate.value)))) {
      delete asked.learning_rate;
      field.dataset.typed = "";
    }
  }

  function draw(gone) {
    const now = state(), ending = Boolean(asked.stop) || now.stopping;
    hear(now);
    box.hidden = hints.hidden = now.phase === "done" || gone;
    stop.button.disabled = ending;
    stop.text.textContent = ending ? words.stop_asked : words.stop;

    const wanted = asked.pause ? asked.pause.wanted : now.pausing;
    const reached = wanted ? now.phase === "paused" : !asked.pause && now.phase !== "paused";
    const key = wanted ? (reached ? "resume" : "pause_asked") : reached ? "pause" : "resume_asked";
    pause.text.textContent = words[key];
    pause.mark.textContent = key === "resume" || key === "resume_asked" ? "▶" : "❚❚";
    pause.button.title = wanted ? words.resume_title : words.pause_title;
    pause.button.disabled = ending;

    field.disabled = ending;
    if (!field.dataset.typed && !asked.learning_rate) show(plain(now.learning_rate));
    const refused = Boolean(wrong.textContent) && wrong.dataset.kind === "learning_rate";
    if (refused) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    if (refused) field.setAttribute("aria-describedby", wrong.id);
    else field.removeAttribute("aria-describedby");
    const unheard = ["pause", "learning_rate"].some((kind) => late(kind) && !asked[kind].heard());
    const unsent = field.dataset.typed && !refused && !ending;
    typed.textContent = asked.learning_rate?.heard() ? words.learning_rate_asked
      : unsent && !asked.learning_rate ? words.learning_rate_typed : "";
    const why = unheard && !ending ? (now.background ? words.stop_hint : words.steer_hint_foreground) : "";
    if (hint.textContent !== why) hint.textContent = why;
  }

  return {
    draw,
    stopAsked: () => Boolean(asked.stop),
    stopLate: () => late("stop") && !state().stopping,
    close: () => timers.forEach(clearTimeout),
  };
}
