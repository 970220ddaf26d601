// Messages to the kernel, sent in order and one at a time, because each depends on those before it. The kernel
// ignores a message that it gets twice.

import { unique } from "./dom.js";
import { retry } from "./retry.js";

// Calls `late` with true while the kernel does not answer, with false once it has answered everything.
export function messageQueue(model, late) {
  const page = unique(), waiting = [];
  let count = 0, cancel = () => {};

  function sendFirst() {
    cancel();
    const first = waiting[0];
    if (!first) return late(false);
    cancel = retry(() => trySend({ ...first, page }), () => waiting[0] !== first, () => late(true));
  }

  function trySend(message) {
    try {
      model.send(message);
    } catch { // the kernel is gone: `late` says so a second later
    }
  }

  function removeAnswered() {
    const before = waiting[0];
    while (waiting.length && waiting[0].number <= (model.get("heard")[page] ?? 0)) waiting.shift();
    if (waiting[0] !== before) sendFirst();
  }

  model.on("change:heard", removeAnswered);
  return {
    send(action, about) {
      waiting.push({ action, ...about, number: ++count });
      if (waiting.length === 1) sendFirst();
    },
    // The last message of an action that the kernel has not answered yet.
    unanswered: (action) => waiting.findLast((message) => message.action === action),
    close() {
      cancel();
      model.off("change:heard", removeAnswered);
    },
  };
}
