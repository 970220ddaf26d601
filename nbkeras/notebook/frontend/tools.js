// How the charts are shown: scale, smoothing, which curves; and files of them.

import { fill, make, unique } from "./dom.js";
import { csv, fileName, picture, png, save, svgText } from "./download.js";
import { metricOf } from "./series.js";

// A page keeps how the charts of a run are shown, by its name, for as long as its tab is open.
function keep(key) {
  const plain = { log: false, smoothing: 0, hidden: [], shown: [] };
  try {
    return { ...plain, ...JSON.parse(sessionStorage.getItem(key)) };
  } catch {
    return plain; // a front end may forbid it
  }
}

export function tools({ model, parent, words, shown, changed }) {
  const key = `nbkeras charts ${model.get("state").name}`, settings = keep(key);
  const bar = make(parent, "div", { class: "nbkeras-tools", role: "group", "aria-label": words.tools });

  function set(values) {
    Object.assign(settings, values);
    try {
      sessionStorage.setItem(key, JSON.stringify(settings));
    } catch { /* as above */ }
    changed();
  }

  const log = make(make(bar, "label"), "input", { type: "checkbox", checked: settings.log });
  log.after(words.log);
  log.addEventListener("change", () => set({ log: log.checked }));

  const smoothing = make(bar, "label");
  make(smoothing, "span", {}, words.smoothing);
  const slider = make(smoothing, "input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing });
  const weight = make(smoothing, "span", { class: "nbkeras-weight" });
  slider.addEventListener("input", () => set({ smoothing: Number(slider.value) }));

  // What is measured beside the history is shown where somebody has chosen it.
  function hides(metric) {
    const aside = model.get("state").aside.includes(metric);
    return settings.hidden.includes(metric) || (aside && !settings.shown.includes(metric));
  }

  const listName = unique();
  const opener = make(bar, "button", { type: "button", "aria-expanded": "false", "aria-controls": listName }, words.curves);
  const list = make(parent, "div", {
    class: "nbkeras-list", id: listName, role: "group", "aria-label": words.curves, hidden: true,
  });
  opener.addEventListener("click", () => {
    list.hidden = !list.hidden;
    opener.setAttribute("aria-expanded", String(!list.hidden));
  });

  const files = make(bar, "span", { class: "nbkeras-files", role: "group", "aria-label": words.download });
  make(files, "span", { "aria-hidden": "true" }, words.download);
  const drawn = () => picture(model.get("state"), shown(), words, { log: settings.log, smoothing: settings.smoothing });
  const made = {
    PNG: async () => [await png(drawn()), "image/png"],
    SVG: () => [svgText(drawn()), "image/svg+xml"],
    CSV: () => [csv(shown()), "text/csv"],
  };
  const lacks = make(parent, "p", { class: "nbkeras-aside" });
  const buttons = Object.entries(made).map(([format, make_]) => {
    const button = make(files, "button", { type: "button", "aria-label": fill(words.download_as, { format }) }, format);
    button.addEventListener("click", async () => {
      save(fileName(model.get("state").name, format.toLowerCase()), ...(await make_()));
    });
    return button;
  });

  // Checkboxes stay where they are, and in focus, while new points come in.
  function drawList(metrics) {
    if (list.dataset.metrics === metrics.join("\n")) return;
    list.dataset.metrics = metrics.join("\n");
    list.replaceChildren();
    for (const metric of metrics) {
      const box = make(list, "label");
      const tick = make(box, "input", { type: "checkbox", checked: !hides(metric) });
      make(box, "span", {}, metric);
      tick.addEventListener("change", () => {
        const without = (chosen) => chosen.filter((one) => one !== metric);
        const { hidden, shown } = { hidden: without(settings.hidden), shown: without(settings.shown) };
        set(tick.checked ? { hidden, shown: [...shown, metric] } : { hidden: [...hidden, metric], shown });
      });
    }
  }

  function draw() {
    const curves = model.get("state").curves;
    bar.hidden = !curves.length;
    list.hidden = bar.hidden || opener.getAttribute("aria-expanded") === "false";
    weight.textContent = settings.smoothing.toFixed(2);
    drawList([...new Set(curves.map(metricOf))]);
    for (const button of buttons) button.disabled = !shown().length;
    lacks.textContent = model.get("state").thinned ? words.thinned : "";
  }

  return { draw, hides, settings };
}
