// Words to the kernel that may be lost: JupyterLab may address, just after a page was reloaded, a subshell
// of the kernel that it has already deleted, and nobody reads it.

const FIRST_AGAIN = 1000; // ms, then twice as long each time
const TIMES = 4;

// Say something until it is heard, or four times; `unheard` is called each time that it was not. Returns what
// ends it.
export function untilHeard(say, isHeard, unheard = () => {}) {
  let timer = 0;

  function again(times) {
    if (isHeard()) return;
    if (times) unheard();
    if (times === TIMES) return;
    say();
    timer = setTimeout(again, FIRST_AGAIN * 2 ** times, times + 1);
  }

  again(0);
  return () => clearTimeout(timer);
}
