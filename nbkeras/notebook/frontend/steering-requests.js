// What was asked of a run, until the kernel has answered and the run has come to it.

import { unique } from "./dom.js";

const LATE_AFTER = 1500; // ms that a request may go unanswered before the panel says why

export function asking(model, send, changed) {
  const asked = {}; // by kind: {since, answered, error}, and what it is about
  const timers = [];
  const isLate = (kind) => asked[kind] && performance.now() - asked[kind].since > LATE_AFTER;

  // The answer comes with a snapshot.
  function ask(type, about = {}, isDone = () => false) {
    const kind = type === "resume" ? "pause" : type, number = unique();
    const answer = () => model.get("state").answers?.[type];
    const answered = () => isDone() || answer()?.ask === number;
    asked[kind] = { ...about, since: performance.now(), answered, error: () => (answered() && answer()?.error) || "" };
    send(kind, { type, ask: number, value: about.value }, answered);
    timers.push(setTimeout(changed, LATE_AFTER + 50));
    changed();
  }

  // Forgets what the kernel has refused, and what the run has reached. Returns both by their kinds, what was
  // refused with the error.
  function settle(state) {
    const refused = ["pause", "learning_rate"].flatMap((kind) => {
      const error = asked[kind]?.error();
      return error ? [[kind, error]] : [];
    });
    for (const [kind] of refused) delete asked[kind];
    const reached = [];
    const { pause, learning_rate: rate } = asked;
    // Another view may have taken the pause back meanwhile.
    if (pause?.answered() && (state.pausing === pause.wanted || isLate("pause"))) reached.push("pause");
    // Until the workers train with the new rate, the field shows what was typed.
    if (rate?.answered() && isReached(rate, state.learning_rate)) reached.push("learning_rate");
    for (const kind of reached) delete asked[kind];
    return { refused, reached };
  }

  const isUnanswered = (kind) => isLate(kind) && !asked[kind].answered();
  return { asked, ask, settle, isLate, isUnanswered, close: () => timers.forEach(clearTimeout) };
}

function isReached({ before, value }, now) {
  return now !== before || Math.abs(now - Number(value)) <= 1e-6 * now;
}
