// The panel of one run. It draws the last snapshot that the kernel has sent (see encode in view.py), which is
// always whole, and loads nothing.

import { drawLosses, lacksRoom } from "./chart.js";
import { fill, make, wordsOf } from "./dom.js";
import { line } from "./line.js";
import { drawCharts, shownCurves, shownLosses } from "./panel-charts.js";
import { drawNotes, drawTimes, say, sentence, soFar } from "./panel-words.js";
import { readOut } from "./readout.js";
import { steering } from "./steering.js";
import { tools } from "./tools.js";

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// The parts of the panel, from top to bottom.
function makeParts(el, words) {
  const root = make(el, "div", { class: "nbkeras", role: "group" });
  const head = make(root, "div", { class: "nbkeras-head" });
  return {
    root,
    head,
    name: make(head, "strong", { class: "nbkeras-name" }),
    phase: make(head, "span", { class: "nbkeras-phase" }),
    times: make(head, "span", { class: "nbkeras-clock" }),
    hints: make(root, "div", { class: "nbkeras-hints" }),
    progress: make(root, "progress", { class: "nbkeras-progress", max: 1, "aria-label": words.progress }),
    charts: make(root, "div", { class: "nbkeras-charts" }),
    empty: make(root, "p", { class: "nbkeras-aside" }),
    below: make(root, "div"),
    notes: make(root, "ul", { class: "nbkeras-notes" }),
    said: make(root, "div", { class: "nbkeras-said", role: "status" }),
    read: make(root, "div", { class: "nbkeras-said", "aria-live": "polite" }),
  };
}

function drawProgress({ model, progress, gone }) {
  const state = model.get("state");
  const within = state.steps ? state.step / state.steps : 0;
  const share = state.status === "finished" ? 1 : state.epoch ? (state.epoch - 1 + within) / state.epochs : 0;
  // Without a value the bar moves to and fro.
  if (share > 0 || calm() || state.phase === "done" || gone) progress.value = share;
}

function drawPanel(panel) {
  const { model, words, root, name, phase, charts, drawn, steer, tool } = panel;
  const state = model.get("state");
  steer.draw(panel.gone);
  tool.draw();
  const doing = sentence(panel);
  root.setAttribute("aria-label", fill(words.title, { name: state.name }));
  name.textContent = state.name;
  phase.textContent = doing;
  drawProgress(panel);
  drawTimes(panel);
  drawNotes(panel);
  const key = JSON.stringify([charts.clientWidth, state.epochs, state.logged, state.curves, tool.settings]);
  const losses = shownLosses(panel), loss = drawn.get("loss");
  if (key !== panel.key || (loss ? lacksRoom(loss.plot, losses) : losses.length)) drawCharts(panel);
  panel.key = key;
  if (drawn.has("loss")) drawLosses(drawn.get("loss"), losses, words, soFar(state, words));
  say(panel, doing);
}

// Redraws when a snapshot comes and when the size changes; returns what ends it.
function follow(panel, later) {
  const { model, charts } = panel;

  function changed() {
    panel.received = performance.now();
    // The last snapshot is drawn at once: the picture that replaces this view comes right behind it.
    if (model.get("state").phase === "done") drawPanel(panel);
    else later();
  }

  model.on("change:state", changed);
  model.on("change:points", changed);
  const ticking = setInterval(() => drawTimes(panel), 1000);
  const resized = new ResizeObserver(later);
  resized.observe(charts);
  return () => {
    clearInterval(ticking);
    resized.disconnect();
    model.off("change:state", changed);
    model.off("change:points", changed);
  };
}

export function render({ model, el }) {
  const words = wordsOf(model), parts = makeParts(el, words), { head, hints, below, read } = parts;
  let frame = 0;
  const later = () => { frame ||= requestAnimationFrame(() => { frame = 0; drawPanel(panel); }); };
  const kernel = line(model);
  const panel = {
    ...parts, model, words,
    drawn: new Map(), // by title: {figure, target, svg, box, aside, plot}
    received: performance.now(), // the last snapshot
    spoken: -Infinity, // the last words to a screen reader
    key: "", // of what the charts show
    gone: false, // the kernel
  };
  panel.steer = steering({ model, parent: head, hints, words, send: kernel.send, changed: later });
  panel.tool = tools({ model, parent: below, words, shown: () => shownCurves(panel), changed: later });
  panel.reading = readOut(() => [...panel.drawn.values()], words, read);
  const unfollow = follow(panel, later);
  drawPanel(panel);
  kernel.whenGone(() => { panel.gone = true; drawPanel(panel); });
  kernel.send("shown", { type: "shown", page: Math.random() });
  return () => {
    unfollow();
    kernel.close();
    panel.steer.close();
    cancelAnimationFrame(frame);
  };
}
