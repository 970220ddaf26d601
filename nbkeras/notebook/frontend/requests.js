// What a page asks the kernel for, each time with the next number; the kernel's state has, by page, the number
// that it has answered.

import { retry } from "./retry.js";

const BUSY_AFTER = 2000; // ms that the kernel may take to answer

// Calls `late` when the kernel takes long to answer the last request.
export function requests(model, late) {
  const page = String(Math.random()).slice(2), cancels = [];
  let asked = 0, timer = 0;
  const answered = () => model.get("state").answered[page] ?? 0;
  const pending = () => answered() < asked;

  function send(action, runs = [], more = {}) {
    const message = { ...more, action, runs, page, number: ++asked };
    // The kernel ignores a message that it gets twice.
    cancels.push(retry(() => model.send(message), () => answered() >= message.number));
    clearTimeout(timer);
    timer = setTimeout(() => { if (pending()) late(); }, BUSY_AFTER);
  }

  function close() {
    cancels.forEach((cancel) => cancel());
    clearTimeout(timer);
  }

  return { send, pending, close };
}
