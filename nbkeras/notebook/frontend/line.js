// The line to the kernel for messages about a run.

import { retry } from "./retry.js";

const GONE = ["restarting", "autorestarting", "terminating", "dead"]; // states of a kernel that has lost its run

// The kernel never publishes on this line, so a kernel that reads in threads beside its busy cell gets the
// messages at once (see quiet.py).
export function line(model) {
  const quiet = Promise.resolve(model.widget_manager?.get_model?.(model.get("line"))).catch(() => null);
  const cancels = new Map();

  // Sends until it is answered, unless a later message of the same kind takes its place.
  function send(kind, message, isAnswered = () => false) {
    cancels.get(kind)?.();
    cancels.set(kind, retry(() => quiet.then((other) => (other ?? model).send(message)), isAnswered));
  }

  // A kernel that was restarted, or has died, does not know the run any more.
  function whenGone(call) {
    const signal = model.widget_manager?.kernel?.statusChanged;
    const check = (_, status) => { if (GONE.includes(status)) call(); };
    signal?.connect(check);
    cancels.set("gone", () => signal?.disconnect(check));
  }

  return { send, whenGone, close: () => cancels.forEach((cancel) => cancel()) };
}
