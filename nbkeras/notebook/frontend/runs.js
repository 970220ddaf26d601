// The panel of runs: a table to sort, curves over each other, the code and the weights of each run.
// It draws whatever state it was given last (see runs.py) and tells the kernel what is done.

import { untilHeard } from "./again.js";
import { HEIGHT, drawChart } from "./chart.js";
import { copyText, fill, make, wordsOf } from "./dom.js";
import { number, whole } from "./number.js";
import { readOut } from "./readout.js";
import { byChart, decode } from "./series.js";

const COLUMNS = ["name", "status", "best", "best_epoch", "epochs", "seconds", "rate", "workers", "began"];
const TEXTS = new Set(["name", "status"]);
const MAX_DOTTED = 12; // points of a curve
const BUSY_AFTER = 2000; // ms that the kernel may take to answer
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// What stands in a cell of the table.
function cell(run, key, words) {
  const value = run[key];
  if (key === "status") return words[`status_${value}`];
  if (key === "epochs") return fill(words.epochs_of, { done: value, asked: run.asked });
  if (value === null || value === undefined) return "";
  if (key === "best") return fill(words.best_of, { metric: run.metric, value: number(value) });
  if (key === "seconds") return tenths.format(value);
  if (key === "began") return day.format(new Date(1000 * value));
  return typeof value === "number" ? whole.format(value) : value;
}

// Runs in the order of a column; what has no value stands at the end, whichever way it is sorted.
function sorted(runs, { key, down }) {
  const of = (run) => run[key] ?? null;
  return runs.toSorted((a, b) => {
    if (of(a) === null || of(b) === null) return (of(a) === null) - (of(b) === null);
    const order = TEXTS.has(key) ? String(of(a)).localeCompare(String(of(b)), undefined, { numeric: true }) : of(a) - of(b);
    return down ? -order : order;
  });
}

function render({ model, el }) {
  const words = wordsOf(model);
  const page = String(Math.random()).slice(2);
  const root = make(el, "section", { class: "nbkeras nbkeras-runs", "aria-label": words.title });
  const head = make(root, "div", { class: "nbkeras-runs-head" });
  make(head, "strong", {}, words.title);
  const refresh = make(head, "button", { type: "button", "data-key": "refresh" }, words.refresh);
  const hint = make(root, "p", { class: "nbkeras-quiet" });
  const frame = make(root, "div", { class: "nbkeras-table", role: "region", "aria-label": words.title, tabindex: "0" });
  const said = make(root, "p", { class: "nbkeras-answer", role: "status" });
  const compared = make(root, "section", { class: "nbkeras-compared", "aria-label": words.compared });
  const code = make(root, "section", { class: "nbkeras-code-of" });
  let sort = { key: "began", down: true }, chosen = model.get("state").chosen, asked = 0, waiting = 0, drawn = "";
  let charts = [];
  const ends = [];
  const read = make(root, "div", { class: "nbkeras-said", "aria-live": "polite" });
  const reading = readOut(() => charts, words, read);

  const answered = () => model.get("state").answered[page] ?? 0;
  const pending = () => answered() < asked;

  function tell(action, runs = []) {
    const message = { action, runs, page, number: ++asked };
    // What is said twice the kernel does once.
    ends.push(untilHeard(() => model.send(message), () => answered() >= message.number));
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (pending()) say(words.waiting);
    }, BUSY_AFTER);
  }

  function say(line, wrong = false) {
    said.classList.toggle("nbkeras-wrong", wrong);
    if (said.textContent !== line) said.textContent = line;
  }

  function button(parent, key, label, act, more = {}) {
    const made = make(parent, "button", { type: "button", "data-key": key, ...more }, label);
    made.addEventListener("click", act);
    return made;
  }

  function mark(parent, place) {
    const made = make(parent, "span", { class: "nbkeras-badge" }, words.marks[place]);
    made.style.borderColor = words.colours[place];
    return made;
  }

  function choose(number, on) {
    chosen = on ? [...chosen, number] : chosen.filter((one) => one !== number);
    tell("choose", chosen);
    draw();
  }

  function drawHead(table) {
    const row = make(make(table, "thead"), "tr");
    const box = make(row, "th", { scope: "col" });
    make(box, "span", { class: "nbkeras-said" }, words.compared);
    for (const key of COLUMNS) {
      const order = sort.key === key ? (sort.down ? "descending" : "ascending") : "none";
      const head = make(row, "th", { scope: "col", "aria-sort": order, class: TEXTS.has(key) ? "" : "nbkeras-number" });
      const made = button(head, `sort ${key}`, words[key], () => {
        sort = { key, down: sort.key === key ? !sort.down : !TEXTS.has(key) };
        draw();
      });
      make(made, "span", { "aria-hidden": "true", class: "nbkeras-arrow" }, { none: "", ascending: " ▲", descending: " ▼" }[order]);
    }
  }

  function drawRow(body, run) {
    const place = chosen.indexOf(run.number);
    const row = make(body, "tr", { class: place < 0 ? "" : "nbkeras-chosen", "data-run": run.number });
    const tick = make(make(row, "td"), "label");
    const box = make(tick, "input", {
      type: "checkbox", "data-key": `choose ${run.number}`, "aria-label": fill(words.choose, { name: run.name }),
      disabled: place < 0 && chosen.length >= words.limit,
    });
    box.checked = place >= 0;
    box.addEventListener("change", () => choose(run.number, box.checked));
    if (place >= 0) mark(tick, place).setAttribute("aria-hidden", "true");
    for (const key of COLUMNS) {
      const kind = key === "name" ? "th" : "td";
      const made = make(row, kind, { scope: key === "name" && "row", class: TEXTS.has(key) ? "" : "nbkeras-number" }, cell(run, key, words));
      if (key === "name") made.title = run.name;
      if (key === "status") made.dataset.status = run.status;
    }
  }

  function drawTable(state) {
    frame.replaceChildren();
    frame.hidden = !state.runs.length;
    const table = make(frame, "table");
    drawHead(table);
    const body = make(table, "tbody");
    for (const run of sorted(state.runs, sort)) drawRow(body, run);
    const lines = [state.runs.length ? words.hint : words.none];
    if (chosen.length >= words.limit) lines.push(fill(words.most, { most: words.limit }));
    if (state.older) lines.push(fill(words.older, { count: state.older }));
    hint.textContent = lines.join(" ");
  }

  function drawLegend(state) {
    const list = make(compared, "ul", { class: "nbkeras-legend" });
    chosen.forEach((number, place) => {
      const run = state.runs.find((one) => one.number === number);
      if (!run) return;
      const item = make(list, "li");
      mark(item, place);
      make(item, "span", { class: "nbkeras-run-name", title: run.name }, run.name);
      const named = { name: run.name };
      button(item, `code ${number}`, words.code, () => tell("code", [number]), { "aria-label": fill(words.code_of, named) });
      button(item, `load ${number}`, words.load, () => tell("load", [number]), { "aria-label": fill(words.load_of, named) });
    });
  }

  // The curves of several runs in one chart.
  function drawOverlay(figure, title, curves) {
    make(figure, "figcaption", { "aria-hidden": "true" }, title);
    // The arrow keys are the reader's here: neither a screen reader's nor the notebook's.
    const target = make(figure, "div", {
      class: "nbkeras-chart", role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true",
      "data-key": `chart ${title}`,
    });
    const width = Math.max(200, figure.clientWidth || 320);
    const svg = make(target, "svg", { "aria-hidden": "true", width, height: HEIGHT });
    const chart = { target, svg, box: make(target, "div", { class: "nbkeras-values", "aria-hidden": "true", hidden: true }) };
    chart.plot = drawChart(svg, curves, { width, epochs: 1, words });
    // Dots on many curves hide which is dashed.
    if (curves.some((curve) => curve.points.length > MAX_DOTTED)) svg.classList.add("nbkeras-plain");
    const values = curves.map((curve) => `${curve.name} ${number(curve.last)}`).join(", ");
    target.setAttribute("aria-label", `${fill(words.chart, { title, values })} ${words.chart_keys}`);
    reading.listen(chart);
    return chart;
  }

  // A table with a column for each chosen run.
  function drawCells(title, first, rows, names) {
    const box = make(compared, "div", {
      class: "nbkeras-table", role: "region", "aria-label": title, tabindex: "0", "data-key": `table ${title}`,
    });
    const table = make(box, "table");
    make(table, "caption", {}, title);
    const row = make(make(table, "thead"), "tr");
    make(row, "th", { scope: "col" }, first);
    names.forEach((name, place) => {
      const head = make(row, "th", { scope: "col", title: name });
      mark(head, place);
      make(head, "span", { class: "nbkeras-run-name" }, name);
    });
    const body = make(table, "tbody");
    for (const [name, ...values] of rows) {
      const line = make(body, "tr");
      make(line, "th", { scope: "row" }, name);
      for (const value of values) make(line, "td", { title: value }, value);
    }
  }

  function drawCompared(state) {
    const found = state.compared, tables = () => [...compared.querySelectorAll(".nbkeras-table")];
    const scrolled = tables().map((one) => one.scrollLeft);
    compared.replaceChildren();
    charts = [];
    compared.hidden = !chosen.length;
    if (!chosen.length) return;
    drawLegend(state);
    // What has not come yet is not shown under the marks of others.
    if (!found || state.chosen.join() !== chosen.join()) return;
    const box = make(compared, "div", { class: "nbkeras-charts" });
    const groups = byChart(decode(found, model.get("points")));
    make(compared, "p", { class: "nbkeras-quiet" }, groups.size ? words.legend : words.no_curves);
    // All have their width before the first is drawn.
    const figures = [...groups].map(() => make(box, "figure"));
    charts = [...groups].map(([title, curves], at) => drawOverlay(figures[at], title, curves));
    if (found.more) make(compared, "p", { class: "nbkeras-quiet" }, fill(words.more, { count: found.more }));
    if (found.best.length) drawCells(words.bests, words.metric, found.best, found.names);
    if (found.settings.length) drawCells(words.settings, words.setting, found.settings, found.names);
    else if (found.names.length > 1) make(compared, "p", {}, words.same);
    tables().forEach((one, at) => { one.scrollLeft = scrolled[at] ?? 0; });
  }

  async function copy(source, made) {
    if (await copyText(source.textContent, source)) made.textContent = words.copied;
    else say(words.copy_by_hand);
  }

  function drawCode(state) {
    code.replaceChildren();
    code.hidden = state.code === null;
    if (state.code === null) return;
    const title = fill(words.code_title, state.code);
    code.setAttribute("aria-label", title);
    const head = make(code, "div", { class: "nbkeras-runs-head" });
    make(head, "strong", { class: "nbkeras-run-name" }, title);
    if (state.code.code === null) make(code, "p", {}, fill(words.no_code, state.code));
    else {
      const box = make(code, "pre", { tabindex: "0", role: "region", "aria-label": title, "data-key": "code" });
      const source = make(box, "code", {}, state.code.code);
      const made = button(head, "copy", words.copy, () => copy(source, made));
    }
    button(head, "close", words.close, () => tell("code"));
  }

  function draw() {
    const state = model.get("state");
    if (!pending()) {
      chosen = state.chosen;
      say(state.said[words.language] ?? "", state.wrong);
    }
    const active = document.activeElement, kept = root.contains(active) ? active.dataset.key : null;
    drawTable(state);
    // Redrawn only when they change: a reader may have selected some of it.
    const key = JSON.stringify([chosen, state.chosen, state.compared, compared.clientWidth]);
    if (key !== drawn) drawCompared(state);
    drawn = key;
    if (code.dataset.code !== JSON.stringify(state.code)) drawCode(state);
    code.dataset.code = JSON.stringify(state.code);
    if (kept) root.querySelector(`[data-key="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
  }

  refresh.addEventListener("click", () => tell("refresh"));
  let later = 0;
  const soon = () => { later ||= requestAnimationFrame(() => { later = 0; draw(); }); };
  model.on("change:state", soon);
  model.on("change:points", soon);
  const resized = new ResizeObserver(soon);
  resized.observe(root);
  draw();
  return () => {
    ends.forEach((end) => end());
    clearTimeout(waiting);
    cancelAnimationFrame(later);
    resized.disconnect();
    model.off("change:state", soon);
    model.off("change:points", soon);
  };
}

export default { render };
