// The panel of one run. It draws whatever whole snapshot it was given last (see encode in view.py) and
// loads nothing.

import { fill, make, wordsOf } from "./dom.js";
import { clock, number } from "./number.js";
import { HEIGHT, drawChart, drawLosses, lacksRoom } from "./chart.js";
import { byChart, decode, metricOf } from "./series.js";
import { readOut } from "./readout.js";
import { line, steering } from "./steering.js";
import { tools } from "./tools.js";

const SAY_EVERY = 5000; // ms between what a screen reader hears
const SILENT_AFTER = 30000; // ms; the kernel sends at least every 10 s

export function render({ model, el }) {
  const words = wordsOf(model);
  const root = make(el, "div", { class: "nbkeras", role: "group" });
  const head = make(root, "div", { class: "nbkeras-head" });
  const name = make(head, "strong", { class: "nbkeras-name" });
  const phase = make(head, "span", { class: "nbkeras-phase" });
  const times = make(head, "span", { class: "nbkeras-clock" });
  const hints = make(root, "div", { class: "nbkeras-hints" });
  const progress = make(root, "progress", { class: "nbkeras-progress", max: 1, "aria-label": words.progress });
  const charts = make(root, "div", { class: "nbkeras-charts" });
  const empty = make(root, "p", { class: "nbkeras-aside" });
  const below = make(root, "div");
  const notes = make(root, "ul", { class: "nbkeras-notes" });
  const said = make(root, "div", { class: "nbkeras-said", role: "status" });
  const read = make(root, "div", { class: "nbkeras-said", "aria-live": "polite" });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const drawn = new Map(); // by title: {figure, target, svg, box, aside, plot}
  let heard = performance.now(), spoken = -Infinity, frame = 0, key = "", gone = false;

  const kernel = line(model);
  const steer = steering({ model, parent: head, hints, words, tell: kernel.tell, changed: later });
  const tool = tools({ model, parent: below, words, shown: () => shownCurves(model.get("state")), changed: later });
  const reading = readOut(() => [...drawn.values()], words, read);

  function shownCurves(state) {
    return decode(state, model.get("points")).filter((curve) => !tool.hides(metricOf(curve)));
  }

  function shownLosses(state) {
    return tool.hides("loss") ? [] : state.losses;
  }

  function sentence(state) {
    if (state.phase === "done") return state.end[words.language];
    if (gone) return fill(words.kernel_gone, { epoch: state.epoch || 1 });
    if (state.stopping) return words.stopping;
    if (steer.stopAsked()) return words.stop_asked;
    return fill(words[`phase_${state.sentence}`], { ...state, epoch: state.epoch || 1 });
  }

  function drawTimes() {
    const state = model.get("state"), since = performance.now() - heard;
    if (state.phase === "done" || gone) return times.replaceChildren();
    const parts = [fill(words.elapsed, { time: clock(state.elapsed + since / 1000) })];
    if (state.remaining !== null) parts.push(fill(words.remaining, { time: clock(state.remaining - since / 1000) }));
    if (state.rate > 0) parts.push(fill(words.rate, { rows: state.rate }));
    if (since > SILENT_AFTER) parts.push(fill(words.silent, { seconds: since / 1000 }));
    times.textContent = parts.join(" · ");
  }

  function drawNotes(state) {
    const lines = [...state.notes];
    if (state.more) lines.push(fill(words.more, { count: state.more }));
    if (steer.stopLate() && !gone) lines.push(state.background ? words.stop_hint : words.stop_hint_foreground);
    if (lines.join("\n") === notes.dataset.lines) return;
    notes.dataset.lines = lines.join("\n");
    notes.replaceChildren();
    for (const one of lines) make(notes, "li", {}, one);
  }

  function newChart(title) {
    const figure = make(charts, "figure");
    make(figure, "figcaption", { "aria-hidden": "true" }, title);
    // The arrow keys are the reader's here: neither a screen reader's nor the notebook's.
    const target = make(figure, "div", {
      class: "nbkeras-chart", role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    });
    const made = { figure, target, svg: make(target, "svg", { "aria-hidden": "true" }) };
    made.box = make(target, "div", { class: "nbkeras-values", "aria-hidden": "true", hidden: true });
    made.aside = make(figure, "p", { class: "nbkeras-aside" });
    reading.listen(made);
    return made;
  }

  function drawCharts(state) {
    const curves = shownCurves(state), groups = byChart(curves), { log, smoothing } = tool.settings;
    const losses = shownLosses(state);
    if (!state.curves.length && losses.length) groups.set("loss", []); // a long first epoch
    for (const [title, { figure }] of drawn) {
      if (groups.has(title)) continue;
      figure.remove();
      drawn.delete(title);
    }
    for (const title of groups.keys()) {
      if (!drawn.has(title)) drawn.set(title, newChart(title));
    }
    [...groups.keys()].forEach((title, at) => {
      // In their order, and moved only where they are not: what is moved loses the focus.
      const { figure } = drawn.get(title);
      if (charts.children[at] !== figure) charts.insertBefore(figure, charts.children[at]);
    });
    for (const [title, members] of groups) {
      const chart = drawn.get(title), width = Math.max(180, chart.figure.clientWidth || 320);
      chart.svg.replaceChildren();
      chart.svg.setAttribute("width", width);
      chart.svg.setAttribute("height", HEIGHT);
      const others = title === "loss" ? { losses } : {};
      chart.plot = drawChart(chart.svg, members, { width, epochs: state.epochs, words, log, smoothing, ...others });
      const values = members.length ? members.map((curve) => `${curve.name} ${number(curve.last)}`).join(", ") : soFar(state);
      chart.target.setAttribute("aria-label", `${fill(words.chart, { title, values })} ${words.chart_keys}`);
      const count = chart.plot.curves.reduce((sum, curve) => sum + curve.leftOut, 0);
      chart.aside.textContent = count ? fill(count === 1 ? words.log_left_out_one : words.log_left_out, { count }) : "";
    }
    reading.draw();
    empty.textContent = state.curves.length && !curves.length ? words.all_hidden : "";
  }

  // The loss of the epoch in work, in words.
  function soFar(state) {
    const end = state.losses.at(-1);
    if (!end) return "";
    const sentence = state.workers > 1 ? words.so_far_first : words.so_far;
    return fill(sentence, { epoch: Math.ceil(end[0]), value: number(end[1]) });
  }

  function say(state, now) {
    const time = performance.now();
    if (state.phase !== "done" && !gone && time - spoken < SAY_EVERY) return;
    const values = state.curves.filter((curve) => !tool.hides(metricOf(curve))).slice(0, 4).map((curve) => `${curve.name} ${number(curve.last)}`);
    if (!values.length && state.losses.length) values.push(soFar(state));
    const short = state.phase === "training" && !gone ? fill(words.said_epoch, { ...state, epoch: state.epoch || 1 }) : now;
    const all = [short, ...values].join(", ");
    if (all === said.textContent) return;
    said.textContent = all;
    spoken = time;
  }

  function draw() {
    frame = 0;
    const state = model.get("state"), ended = state.phase === "done";
    steer.draw(gone);
    tool.draw();
    const now = sentence(state);
    root.setAttribute("aria-label", fill(words.title, { name: state.name }));
    name.textContent = state.name;
    phase.textContent = now;
    const within = state.steps ? state.step / state.steps : 0;
    const share = state.status === "finished" ? 1 : state.epoch ? (state.epoch - 1 + within) / state.epochs : 0;
    if (share > 0 || calm || ended || gone) progress.value = share; // without a value the bar moves to and fro
    drawTimes();
    drawNotes(state);
    const all = [charts.clientWidth, state.epochs, state.logged, JSON.stringify(state.curves), JSON.stringify(tool.settings)];
    const losses = shownLosses(state), loss = drawn.get("loss");
    if (all.join(" ") !== key || (loss ? lacksRoom(loss.plot, losses) : losses.length)) drawCharts(state);
    key = all.join(" ");
    if (drawn.has("loss")) drawLosses(drawn.get("loss"), losses, words, soFar(state));
    say(state, now);
  }

  function changed() {
    heard = performance.now();
    // The last snapshot is drawn at once: the picture that replaces this view comes right behind it.
    if (model.get("state").phase === "done") draw();
    else later();
  }

  function later() {
    frame ||= requestAnimationFrame(draw);
  }

  model.on("change:state", changed);
  model.on("change:points", changed);
  const ticking = setInterval(drawTimes, 1000);
  const resized = new ResizeObserver(later);
  resized.observe(charts);
  draw();
  kernel.whenGone(() => { gone = true; draw(); });
  kernel.tell("shown", { type: "shown", page: Math.random() });
  return () => {
    clearInterval(ticking);
    kernel.close();
    steer.close();
    cancelAnimationFrame(frame);
    resized.disconnect();
    model.off("change:state", changed);
    model.off("change:points", changed);
  };
}
