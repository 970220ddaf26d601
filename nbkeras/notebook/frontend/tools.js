// How the charts are shown: scale, smoothing, which curves; and files of them.

import { fill, make, unique } from "./dom.js";
import { csv, picture, png, svgText } from "./download.js";
import { fileName, save } from "./files.js";
import { metricOf } from "./series.js";

// How the charts of a run are shown, stored under its name for as long as the tab is open.
function loadSettings(key) {
  const plain = { log: false, smoothing: 0, hidden: [], shown: [] };
  try {
    return { ...plain, ...JSON.parse(sessionStorage.getItem(key)) };
  } catch {
    return plain; // a front end may forbid the storage
  }
}

function storeSettings(key, settings) {
  try {
    sessionStorage.setItem(key, JSON.stringify(settings));
  } catch { /* as above */ }
}

function addScale(bar, words, settings, set) {
  const log = make(make(bar, "label"), "input", { type: "checkbox", checked: settings.log });
  log.after(words.log);
  log.addEventListener("change", () => set({ log: log.checked }));
}

// Returns where the weight of the smoothing is shown.
function addSmoothing(bar, words, settings, set) {
  const label = make(bar, "label");
  make(label, "span", {}, words.smoothing);
  const slider = make(label, "input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing });
  const weight = make(label, "span", { class: "nbkeras-weight" });
  slider.addEventListener("input", () => set({ smoothing: Number(slider.value) }));
  return weight;
}

// The list of curves, and the button that opens it.
function addList(bar, parent, words) {
  const id = unique();
  const opener = make(bar, "button", { type: "button", "aria-expanded": "false", "aria-controls": id }, words.curves);
  const list = make(parent, "div", {
    class: "nbkeras-list", id, role: "group", "aria-label": words.curves, hidden: true,
  });
  opener.addEventListener("click", () => {
    list.hidden = !list.hidden;
    opener.setAttribute("aria-expanded", String(!list.hidden));
  });
  return { opener, list };
}

// Redrawn only when the metrics change: a checkbox stays where it is, and in focus, while new points come in.
function drawList(list, metrics, { settings, set, hides }) {
  if (list.dataset.metrics === metrics.join("\n")) return;
  list.dataset.metrics = metrics.join("\n");
  list.replaceChildren();
  for (const metric of metrics) {
    const box = make(list, "label");
    const tick = make(box, "input", { type: "checkbox", checked: !hides(metric) });
    make(box, "span", {}, metric);
    tick.addEventListener("change", () => {
      const without = (chosen) => chosen.filter((other) => other !== metric);
      const { hidden, shown } = { hidden: without(settings.hidden), shown: without(settings.shown) };
      set(tick.checked ? { hidden, shown: [...shown, metric] } : { hidden: [...hidden, metric], shown });
    });
  }
}

// Returns the buttons.
function addDownloads(bar, { model, words, shown, settings }) {
  const files = make(bar, "span", { class: "nbkeras-files", role: "group", "aria-label": words.download });
  make(files, "span", { "aria-hidden": "true" }, words.download);
  const drawn = () => picture(model.get("state"), shown(), words, { log: settings.log, smoothing: settings.smoothing });
  const formats = {
    PNG: async () => [await png(drawn()), "image/png"],
    SVG: () => [svgText(drawn()), "image/svg+xml"],
    CSV: () => [csv(shown()), "text/csv"],
  };
  return Object.entries(formats).map(([format, encode]) => {
    const made = make(files, "button", { type: "button", "aria-label": fill(words.download_as, { format }) }, format);
    made.addEventListener("click", async () => {
      save(fileName(model.get("state").name, format.toLowerCase()), ...(await encode()));
    });
    return made;
  });
}

export function tools({ model, parent, words, shown, changed }) {
  const key = `nbkeras charts ${model.get("state").name}`, settings = loadSettings(key);
  const bar = make(parent, "div", { class: "nbkeras-tools", role: "group", "aria-label": words.tools });

  function set(values) {
    Object.assign(settings, values);
    storeSettings(key, settings);
    changed();
  }

  // What is measured beside the history is shown only where the user has chosen it.
  function hides(metric) {
    const aside = model.get("state").aside.includes(metric);
    return settings.hidden.includes(metric) || (aside && !settings.shown.includes(metric));
  }

  addScale(bar, words, settings, set);
  const weight = addSmoothing(bar, words, settings, set);
  const { opener, list } = addList(bar, parent, words);
  const downloads = addDownloads(bar, { model, words, shown, settings });
  const thinned = make(parent, "p", { class: "nbkeras-aside" });

  function draw() {
    const state = model.get("state");
    bar.hidden = !state.curves.length;
    list.hidden = bar.hidden || opener.getAttribute("aria-expanded") === "false";
    weight.textContent = settings.smoothing.toFixed(2);
    drawList(list, [...new Set(state.curves.map(metricOf))], { settings, set, hides });
    for (const button of downloads) button.disabled = !shown().length;
    thinned.textContent = state.thinned ? words.thinned : "";
  }

  return { draw, hides, settings };
}
