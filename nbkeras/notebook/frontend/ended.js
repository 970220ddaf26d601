// The panel of a run that has ended, in place of its picture: in a page without a kernel, and in the one that
// has shown the run, whose file keeps the picture.

import { render } from "./panel.js";

const PATIENCE = 10000; // ms in which the picture comes

function showEnded(id, { points, ...values }) {
  const bytes = Uint8Array.from(atob(points), (letter) => letter.charCodeAt(0));
  showInPlace(document.getElementById(id), { ...values, points: new DataView(bytes.buffer) });
}

function showInPlace(place, traits) {
  const picture = place?.querySelector("figure");
  if (!picture) return;
  const model = { get: (name) => traits[name], on() {}, off() {}, send() {} };
  // Replaces the picture only when everything is drawn: after an error the picture is still there.
  const el = document.createElement("div");
  render({ model, el });
  picture.replaceWith(el);
}

// Shows a run as a panel again, once its picture is there.
export function stay(id, traits) {
  const show = () => {
    const place = document.getElementById(id);
    if (place) {
      looking.disconnect();
      showInPlace(place, traits);
    }
  };
  const looking = new MutationObserver(show);
  looking.observe(document.body, { childList: true, subtree: true });
  setTimeout(() => looking.disconnect(), PATIENCE);
  show();
}
