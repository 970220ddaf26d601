// The panel of a run that has ended, in a page without a kernel: in place of its picture.

import { render } from "./panel.js";

function showEnded(id, { points, ...values }) {
  const place = document.getElementById(id), picture = place?.querySelector("figure");
  if (!picture) return;
  const bytes = Uint8Array.from(atob(points), (letter) => letter.charCodeAt(0));
  const held = { ...values, points: new DataView(bytes.buffer) };
  const model = { get: (name) => held[name], on() {}, off() {}, send() {} };
  // Not in place of the picture before all is drawn: what fails leaves the picture where it is.
  const el = document.createElement("div");
  render({ model, el });
  picture.replaceWith(el);
}
