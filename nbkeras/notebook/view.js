// The live chart of one run. It draws whatever whole snapshot it was given last
// (see encode in view.py), loads nothing, and asks the kernel for one thing: a stop.

const HEIGHT = 190;
const LEFT = 44, RIGHT = 84, TOP = 8, BOTTOM = 32;
const MAX_DOTS = 60; // of one curve; beyond, they hide the line
const SAY_EVERY = 5000; // ms between what a screen reader hears
const SILENT_AFTER = 30000; // ms; the kernel sends at least every 10 s
const HINT_AFTER = 2000; // ms that a stop may go unanswered

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const tiny = new Intl.NumberFormat(undefined, { notation: "scientific", maximumFractionDigits: 2 });

function number(value) {
  if (typeof value !== "number") return String(value); // NaN and infinity come as words
  const size = Math.abs(value);
  return (size && size < 1e-4) || size >= 1e7 ? tiny.format(value) : digits.format(value);
}

function clock(seconds) {
  const all = Math.max(0, Math.round(seconds));
  const pad = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(all % 60)}` : `${minutes}:${pad(all % 60)}`;
}

function fill(words, values) {
  return words.replace(/\{(\w+)\}/g, (_, key) => {
    const value = values[key];
    return typeof value === "number" ? whole.format(value) : String(value);
  });
}

// Text goes in by textContent and attributes only: a metric's name is data, never markup.
function make(parent, name, attributes = {}, words = undefined) {
  const space = parent.namespaceURI?.endsWith("svg") || name === "svg" ? "http://www.w3.org/2000/svg" : null;
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  parent.append(made);
  return made;
}

function niceStep(span, count) {
  const rough = span / count, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= rough * 0.999);
}

// The axis of epochs grows with a long run: of 10,000 epochs the first ten would be one pixel.
function lastEpochShown(epochs, reached) {
  if (epochs <= 20 || reached * 5 >= epochs) return Math.max(epochs, reached);
  const power = 10 ** Math.floor(Math.log10(Math.max(10, 2 * reached)));
  const nice = [1, 2, 5, 10].map((digit) => digit * power).find((end) => end >= 2 * reached);
  return Math.min(epochs, Math.max(10, nice));
}

function decode(state, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return state.curves.map((curve) => {
    const points = [];
    for (let i = 0; i < curve.points && at + 8 <= bytes.byteLength; i++, at += 8) {
      points.push([view.getFloat32(at, true), view.getFloat32(at + 4, true)]);
    }
    return { ...curve, points };
  });
}

function byChart(curves) {
  const charts = new Map();
  for (const curve of curves) {
    if (!charts.has(curve.chart)) charts.set(curve.chart, []);
    charts.get(curve.chart).push(curve);
  }
  return charts;
}

function label(curve, words) {
  const name = curve.entry || (curve.validation ? words.validation : words.train);
  return fill(words.value, { name, value: number(curve.last) });
}

// Labels are pushed apart until none covers another (as spread in chart.py).
function spread(labels, gap, low, high) {
  labels.sort((a, b) => a.y - b.y);
  let floor = low;
  for (const one of labels) floor = (one.place = Math.max(one.y, floor)) + gap;
  let ceiling = high;
  for (const one of labels.toReversed()) ceiling = (one.place = Math.min(one.place, ceiling)) - gap;
}

function drawChart(figure, title, curves, state, words) {
  const width = Math.max(200, figure.clientWidth || 320);
  const right = width - RIGHT, bottom = HEIGHT - BOTTOM;
  const values = curves.map((curve) => `${curve.name} ${number(curve.last)}`).join(", ");
  figure.replaceChildren();
  make(figure, "figcaption", { "aria-hidden": "true" }, title);
  const svg = make(figure, "svg", {
    width, height: HEIGHT, role: "img", "aria-label": fill(words.chart, { title, values }),
  });
  const all = curves.flatMap((curve) => curve.points);
  const reached = Math.max(1, ...all.map((point) => point[0]));
  const x0 = Math.min(1, ...all.map((point) => point[0]));
  const x1 = Math.max(x0 + 1, lastEpochShown(state.epochs, reached));
  let y0 = Math.min(...all.map((point) => point[1])), y1 = Math.max(...all.map((point) => point[1]));
  if (!all.length) [y0, y1] = [0, 1];
  if (y0 === y1) [y0, y1] = [y0 - (Math.abs(y0) / 10 || 0.5), y1 + (Math.abs(y1) / 10 || 0.5)];
  const X = (epoch) => LEFT + ((epoch - x0) / (x1 - x0)) * (right - LEFT);
  const Y = (value) => bottom - 4 - ((value - y0) / (y1 - y0)) * (bottom - TOP - 8);

  const yStep = niceStep(y1 - y0, 4);
  for (let i = Math.ceil(y0 / yStep); i * yStep <= y1; i++) {
    const y = Y(i * yStep);
    make(svg, "line", { class: "nbkeras-rule", x1: LEFT, x2: right, y1: y, y2: y, "stroke-opacity": 0.5 });
    make(svg, "text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, number(Number((i * yStep).toPrecision(6))));
  }
  make(svg, "line", { class: "nbkeras-rule", x1: LEFT, x2: right, y1: bottom, y2: bottom });
  const xStep = Math.max(1, niceStep(x1 - x0, 5));
  const ticks = [x0];
  for (let x = xStep; x < x1; x += xStep) if (x - x0 > xStep / 2 && x1 - x > xStep / 2) ticks.push(x);
  ticks.push(x1);
  for (const x of ticks) make(svg, "text", { x: X(x), y: bottom + 14, "text-anchor": "middle" }, whole.format(x));
  make(svg, "text", { x: (LEFT + right) / 2, y: bottom + 28, "text-anchor": "middle" }, words.axis);

  const labels = [];
  for (const curve of curves) {
    const colour = words.colours[curve.colour];
    const group = make(svg, "g", { class: "nbkeras-curve", "data-curve": curve.name });
    const path = curve.points.map(([x, y], i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
    make(group, "path", { d: path, stroke: colour, "stroke-dasharray": curve.validation ? "5 4" : "none" });
    if (curve.points.length <= MAX_DOTS) {
      for (const [x, y] of curve.points) {
        make(group, "circle", {
          cx: X(x), cy: Y(y), r: 2.4, fill: colour, "data-epoch": x, "data-value": y,
        });
      }
    }
    const end = curve.points.at(-1);
    if (!(curve.validation && curve.entry)) {
      labels.push({ x: end ? X(end[0]) : LEFT, y: end ? Y(end[1]) : bottom - 8, text: label(curve, words), colour });
    }
  }
  spread(labels, 13, TOP + 2, bottom - 4);
  for (const { x, y, place, text, colour } of labels) {
    make(svg, "path", { d: `M${x + 4} ${y}L${x + 10} ${place}`, stroke: colour, fill: "none" });
    make(svg, "text", { class: "nbkeras-label", x: x + 13, y: place + 4 }, text);
  }
}

function render({ model, el }) {
  const words = model.get("words");
  const root = make(el, "div", { class: "nbkeras", role: "group" });
  const head = make(root, "div", { class: "nbkeras-head" });
  const phase = make(head, "span", { class: "nbkeras-phase" });
  const times = make(head, "span", { class: "nbkeras-clock" });
  const stop = make(head, "button", { class: "nbkeras-stop", type: "button", title: words.stop_title });
  make(stop, "span", { "aria-hidden": "true" }, "■");
  const stopWords = make(stop, "span", {}, words.stop);
  const progress = make(root, "progress", { class: "nbkeras-progress", max: 1, "aria-label": words.progress });
  const charts = make(root, "div", { class: "nbkeras-charts" });
  const notes = make(root, "ul", { class: "nbkeras-notes" });
  const said = make(root, "div", { class: "nbkeras-said", role: "status" });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let heard = performance.now(), spoken = -Infinity, asked = null, frame = 0, drawn = "";

  function sentence(state) {
    if (state.phase === "done") return state.end;
    if (state.stopping) return words.stopping;
    if (asked !== null) return words.stop_asked;
    return fill(words[`phase_${state.sentence}`], { ...state, epoch: state.epoch || 1 });
  }

  function drawTimes() {
    const state = model.get("state"), since = performance.now() - heard;
    if (state.phase === "done") return times.replaceChildren();
    const parts = [fill(words.elapsed, { time: clock(state.elapsed + since / 1000) })];
    if (state.remaining !== null) parts.push(fill(words.remaining, { time: clock(state.remaining - since / 1000) }));
    if (state.rate > 0) parts.push(fill(words.rate, { rows: state.rate }));
    if (since > SILENT_AFTER) parts.push(fill(words.silent, { seconds: since / 1000 }));
    times.textContent = parts.join(" · ");
    if (asked !== null && !state.stopping && performance.now() - asked > HINT_AFTER) drawNotes(state);
  }

  function drawNotes(state) {
    const lines = [...state.notes];
    if (state.more) lines.push(fill(words.more, { count: state.more }));
    const late = asked !== null && !state.stopping && performance.now() - asked > HINT_AFTER;
    if (late) lines.push(state.background ? words.stop_hint : words.stop_hint_foreground);
    if (lines.join("\n") === notes.dataset.lines) return;
    notes.dataset.lines = lines.join("\n");
    notes.replaceChildren();
    for (const line of lines) make(notes, "li", {}, line);
  }

  function drawCharts(state) {
    const groups = byChart(decode(state, model.get("points")));
    while (charts.children.length < groups.size) make(charts, "figure");
    while (charts.children.length > groups.size) charts.lastChild.remove();
    let i = 0;
    for (const [title, curves] of groups) drawChart(charts.children[i++], title, curves, state, words);
  }

  function say(state, line) {
    const now = performance.now();
    if (state.phase !== "done" && now - spoken < SAY_EVERY) return;
    const values = state.curves.slice(0, 4).map((curve) => `${curve.name} ${number(curve.last)}`);
    const short = state.phase === "training" ? fill(words.said_epoch, { ...state, epoch: state.epoch || 1 }) : line;
    const all = [short, ...values].join(", ");
    if (all === said.textContent) return;
    said.textContent = all;
    spoken = now;
  }

  function draw() {
    frame = 0;
    const state = model.get("state"), line = sentence(state), ended = state.phase === "done";
    root.setAttribute("aria-label", fill(words.title, { name: state.name }));
    phase.textContent = line;
    stop.hidden = ended;
    stop.disabled = asked !== null || state.stopping;
    if (stop.disabled) stopWords.textContent = words.stop_asked;
    const within = state.steps ? state.step / state.steps : 0;
    const share = ended ? 1 : state.epoch ? (state.epoch - 1 + within) / state.epochs : 0;
    if (share > 0 || calm) progress.value = share; // without a value the bar moves to and fro
    drawTimes();
    drawNotes(state);
    const key = `${charts.clientWidth} ${state.epochs} ${state.logged} ${JSON.stringify(state.curves)}`;
    if (key !== drawn) drawCharts(state);
    drawn = key;
    say(state, line);
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

  function askToStop() {
    asked = performance.now();
    draw();
    // A busy kernel reads no message before its cell ends, but it always hears an interrupt,
    // which our handler turns into a stop. An idle one, with the run in the background, reads.
    const kernel = model.widget_manager?.kernel;
    if (!model.get("state").background && kernel?.interrupt) kernel.interrupt();
    else model.send({ type: "stop" });
  }

  stop.addEventListener("click", askToStop);
  model.on("change:state", changed);
  model.on("change:points", changed);
  const ticking = setInterval(drawTimes, 1000);
  const resized = new ResizeObserver(later);
  resized.observe(charts);
  draw();
  model.send({ type: "shown" });
  return () => {
    clearInterval(ticking);
    cancelAnimationFrame(frame);
    resized.disconnect();
    model.off("change:state", changed);
    model.off("change:points", changed);
  };
}

export default { render };
