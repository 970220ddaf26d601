// When a widget is redrawn.

const LONGEST_CLICK = 1000; // ms
const ENDS = ["pointerup", "pointercancel", "dragend"];

// Redraws in the next frame, but not while a pointer is down in the frame: an element that is replaced loses
// its click.
export function redraws(frame, draw) {
  let isDown = false, isLate = false, asked = 0;

  function now() {
    isLate = false;
    draw();
  }

  function later() {
    isLate = true;
    asked ||= requestAnimationFrame(() => { asked = 0; if (!isDown) now(); });
  }

  function down(event) {
    // A list takes the pointer with it when it opens.
    isDown = !event.target.closest("select");
    // A pointer that leaves the window may come up outside.
    setTimeout(up, LONGEST_CLICK);
  }

  const up = () => setTimeout(() => {
    isDown = false;
    if (isLate) later();
  });

  frame.addEventListener("pointerdown", down);
  for (const name of ENDS) addEventListener(name, up, true);
  return {
    now,
    later,
    close() {
      for (const name of ENDS) removeEventListener(name, up, true);
      cancelAnimationFrame(asked);
    },
  };
}
