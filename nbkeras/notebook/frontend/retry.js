// Messages to the kernel that may be lost: just after a page was reloaded, JupyterLab may address a subshell
// of the kernel that it has already deleted, and nobody reads the message.

const FIRST_RETRY = 1000; // ms, then twice as long each time
const TIMES = 4;

// Sends a message until it is answered, at most four times. Calls `late` each time that no answer has come.
// Returns the function that cancels it.
export function retry(send, isAnswered, late = () => {}) {
  let timer = 0;

  function attempt(times) {
    if (isAnswered()) return;
    if (times) late();
    if (times === TIMES) return;
    send();
    timer = setTimeout(attempt, FIRST_RETRY * 2 ** times, times + 1);
  }

  attempt(0);
  return () => clearTimeout(timer);
}
