// The part of the builder for the data: DataFrame, label, task, features, and the columns that are left out.

import { fill, make } from "./dom.js";
import { group, pick, tick } from "./fields.js";
import { whole } from "./number.js";

const MAX_COLUMNS = 40; // drawn at once; of more only those that match the filter

export function drawData(builder, state, columns) {
  const { words, root, send, isDrawing } = builder;
  const box = make(group(root, words.data, "data"), "div", { class: "nbkeras-row" });
  const labels = columns.filter((column) => column.label).map((column) => [column.name, titleOf(column)]);
  const auto = fill(words.task_auto, { task: words[`task_${state.task}`] });
  const tasks = state.tasks.map((task) => [task, task === "auto" ? auto : words[`task_${task}`]]);
  const fields = [
    ["data", words.frame, state.frames.map((name) => [name, name]), state.data],
    ["label", words.label, labels, state.label],
    ["task", words.task, tasks, state.chosen],
  ];
  for (const [key, label, offered, value] of fields) {
    const act = (chosen) => send(key, { value: chosen });
    pick(box, { key, label, offered, value, act, isDrawing, error: state.errors[key], hint: state.hints[key] });
  }
  drawFeatures(builder, box, columns.filter((column) => column.name !== state.label && !column.why), state.errors.features);
  drawLeftOut(builder, box, columns.filter((column) => column.why));
}

const titleOf = (column) => `${column.name} (${column.kind})`;

function drawFeatures(builder, parent, usable, error) {
  const { words, unanswered } = builder;
  const box = make(parent, "div", { class: "nbkeras-field nbkeras-features" });
  // An answer to an earlier tick does not undo the ticks that the kernel has not answered yet.
  const names = unanswered("features")?.value ?? usable.filter((column) => column.chosen).map((column) => column.name);
  const chosen = new Set(names);
  make(box, "span", { class: "nbkeras-quiet", "aria-hidden": "true" }, words.features);
  const details = make(box, "details", { open: builder.featuresOpen });
  const counts = { count: whole.format(chosen.size), all: whole.format(usable.length) };
  make(details, "summary", { "data-key": "features" }, fill(words.features_chosen, counts));
  details.addEventListener("toggle", () => { builder.featuresOpen = details.open; });
  const list = make(details, "div", { class: "nbkeras-list", role: "group", "aria-label": words.features });
  const search = usable.length > MAX_COLUMNS && make(list, "input", {
    type: "search", "data-key": "filter", "aria-label": words.filter, placeholder: words.filter, value: builder.filter,
  });
  const ticks = make(list, "div");
  if (search) {
    search.addEventListener("input", () => {
      builder.filter = search.value;
      drawTicks(builder, ticks, usable, chosen);
    });
  }
  drawTicks(builder, ticks, usable, chosen);
  if (error) make(box, "p", { class: "nbkeras-wrong", role: "alert" }, error);
}

function drawTicks({ words, filter, send }, parent, usable, chosen) {
  parent.replaceChildren();
  const found = usable.filter((column) => column.name.toLowerCase().includes(filter.toLowerCase()));
  for (const column of found.slice(0, MAX_COLUMNS)) {
    const { name } = column;
    const act = (on) => {
      on ? chosen.add(name) : chosen.delete(name);
      send("features", { value: [...chosen] });
    };
    tick(parent, { key: `feature ${name}`, label: titleOf(column), value: chosen.has(name), act });
  }
  const more = whole.format(found.length - MAX_COLUMNS);
  if (found.length > MAX_COLUMNS) make(parent, "p", { class: "nbkeras-quiet" }, fill(words.more_columns, { count: more }));
}

function drawLeftOut(builder, parent, columns) {
  if (!columns.length) return;
  const { words } = builder;
  const details = make(parent, "details", { class: "nbkeras-field nbkeras-left", open: builder.leftOpen });
  make(details, "summary", { "data-key": "left" }, fill(words.left_out, { count: whole.format(columns.length) }));
  details.addEventListener("toggle", () => { builder.leftOpen = details.open; });
  const list = make(details, "div", { class: "nbkeras-list" });
  for (const column of columns.slice(0, MAX_COLUMNS)) make(list, "p", {}, `${titleOf(column)}: ${words[`why_${column.why}`]}`);
  const more = whole.format(columns.length - MAX_COLUMNS);
  if (columns.length > MAX_COLUMNS) make(list, "p", {}, fill(words.more_left, { count: more }));
}
