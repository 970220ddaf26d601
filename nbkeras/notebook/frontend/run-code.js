// The code of one run, to read and to copy.

import { button, copyText, fill, make } from "./dom.js";

export function drawCode({ words, code, send, say }, shown) {
  code.replaceChildren();
  code.hidden = shown === null;
  if (shown === null) return;
  const title = fill(words.code_title, shown);
  code.setAttribute("aria-label", title);
  const head = make(code, "div", { class: "nbkeras-runs-head" });
  make(head, "strong", { class: "nbkeras-run-name" }, title);
  if (shown.code === null) make(code, "p", {}, fill(words.no_code, shown));
  else {
    const box = make(code, "pre", { tabindex: "0", role: "region", "aria-label": title, "data-key": "code" });
    const source = make(box, "code", {}, shown.code);
    const copy = button(head, "copy", words.copy, async () => {
      if (await copyText(source.textContent, source)) copy.textContent = words.copied;
      else say(words.copy_by_hand);
    });
  }
  button(head, "close", words.close, () => send("code"));
}
