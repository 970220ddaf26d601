// The panel of runs: a table to sort, curves over each other, the code and the weights of each run.
// It draws the last state that the kernel has sent (see runs.py), and sends what the user does.

import { button, make, wordsOf } from "./dom.js";
import { readOut } from "./readout.js";
import { requests } from "./requests.js";
import { drawCode } from "./run-code.js";
import { drawCompared } from "./run-comparison.js";
import { drawOpened } from "./run-reports.js";
import { drawTable } from "./run-table.js";

// The parts of the panel, from top to bottom.
function makeParts(el, words) {
  const root = make(el, "section", { class: "nbkeras nbkeras-runs", "aria-label": words.title });
  const head = make(root, "div", { class: "nbkeras-runs-head" });
  make(head, "strong", {}, words.title);
  return {
    root,
    head,
    hint: make(root, "p", { class: "nbkeras-quiet" }),
    frame: make(root, "div", { class: "nbkeras-table", role: "region", "aria-label": words.title, tabindex: "0" }),
    said: make(root, "p", { class: "nbkeras-answer", role: "status" }),
    compared: make(root, "section", { class: "nbkeras-compared", "aria-label": words.compared }),
    opened: make(root, "section", { class: "nbkeras-opened" }),
    code: make(root, "section", { class: "nbkeras-code-of" }),
    read: make(root, "div", { class: "nbkeras-said", "aria-live": "polite" }),
  };
}

function drawRuns(panel) {
  const { model, words, root, compared, code } = panel;
  const state = model.get("state");
  if (!panel.pending()) {
    panel.chosen = state.chosen;
    panel.say(state.said[words.language] ?? "", state.wrong);
  }
  const active = document.activeElement, focused = root.contains(active) ? active.dataset.key : null;
  drawTable(panel, state);
  // Drawn again only after a change: the user may have selected some of it.
  const key = JSON.stringify([panel.chosen, state.chosen, state.compared, compared.clientWidth]);
  if (key !== panel.drawn) drawCompared(panel, state);
  panel.drawn = key;
  // Likewise: what was chosen in the report that is open stays.
  const reports = JSON.stringify([state.opened, state.others]), report = model.get("report");
  if (reports !== panel.reports || report !== panel.report) drawOpened(panel, state);
  Object.assign(panel, { reports, report });
  const shown = JSON.stringify(state.code);
  if (code.dataset.code !== shown) drawCode(panel, state.code);
  code.dataset.code = shown;
  if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function render({ model, el }) {
  const words = wordsOf(model), parts = makeParts(el, words), { root, head, said } = parts;

  function say(line, wrong = false) {
    said.classList.toggle("nbkeras-wrong", wrong);
    if (said.textContent !== line) said.textContent = line;
  }

  const { send, pending, close } = requests(model, () => say(words.waiting));
  const panel = {
    ...parts, model, words, send, pending, say,
    draw: () => drawRuns(panel),
    sort: { key: "began", down: true },
    chosen: model.get("state").chosen, // numbers of runs
    charts: [],
    drawn: "", // what is compared
    reports: "", // which reports are listed
    report: null, // that is open
    reading: readOut(() => panel.charts, words, parts.read),
  };
  button(head, "refresh", words.refresh, () => send("refresh"));
  let frame = 0;
  const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; panel.draw(); }); };
  model.on("change:state", soon);
  model.on("change:points", soon);
  model.on("change:report", soon);
  const resized = new ResizeObserver(soon);
  resized.observe(root);
  panel.draw();
  return () => {
    close();
    cancelAnimationFrame(frame);
    resized.disconnect();
    model.off("change:state", soon);
    model.off("change:points", soon);
    model.off("change:report", soon);
  };
}

export default { render };
