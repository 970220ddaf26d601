// The builder: fields, and the layers as a picture that is edited. It draws whatever state it was given
// last (see nbkeras/builder/editor.py) and tells the kernel each thing that is done, a message for each.

import { untilHeard } from "./again.js";
import { copyText, fill, make, unique, wordsOf } from "./dom.js";
import { whole } from "./number.js";

const FEW = 40; // columns; of more only those that match the filter are drawn
const LONGEST_CLICK = 1000; // ms
const COPIED = 2000; // ms that the button says so

// Messages to the kernel, one after the other, for each depends on those before it. What is said twice the
// kernel does once.
function teller(model, late) {
  const page = unique(), waiting = [];
  let number = 0, end = () => {};

  function send() {
    end();
    const first = waiting[0];
    if (!first) return late(false);
    end = untilHeard(() => say({ ...first, page }), () => waiting[0] !== first, () => late(true));
  }

  function say(message) {
    try {
      model.send(message);
    } catch { // the kernel is gone, which is told a second later
    }
  }

  function heard() {
    const before = waiting[0];
    while (waiting.length && waiting[0].number <= (model.get("heard")[page] ?? 0)) waiting.shift();
    if (waiting[0] !== before) send();
  }

  model.on("change:heard", heard);
  return {
    tell(action, about) {
      waiting.push({ action, ...about, number: ++number });
      if (waiting.length === 1) send();
    },
    // What was told last of an action, as long as the kernel has not answered.
    unheard: (action) => waiting.findLast((one) => one.action === action),
    close() {
      end();
      model.off("change:heard", heard);
    },
  };
}

function render({ model, el }) {
  const words = wordsOf(model);
  // Its keys are its own: JupyterLab would take those on a button for commands of the notebook.
  const frame = make(el, "div", { class: "nbkeras-builder", "data-lm-suppress-shortcuts": "true" });
  const root = make(frame, "section", { "aria-label": words.builder });
  const said = make(frame, "div", { class: "nbkeras-said", role: "status" });
  const deaf = make(frame, "p", { class: "nbkeras-deaf", role: "status" });
  let frameAsked = 0, isLate = false;
  // Of layers it keeps the number, which stays when they move.
  let filter = "", featuresOpen = false, leftOpen = false, opened = null, dragged = null, added = "Dense";
  let newest = null, drawn = [], isDrawing = false;

  const { tell, unheard, close } = teller(model, (late) => { deaf.textContent = late ? words.waiting : ""; });

  // A field with its label, and what is wrong with it below.
  function field(parent, key, label, error) {
    const box = make(parent, "div", { class: "nbkeras-field" });
    const id = unique();
    make(box, "label", { for: id }, label);
    const common = { id, "data-key": key };
    if (error) Object.assign(common, { "aria-invalid": "true", "aria-describedby": `${id}-error` });
    const tail = () => error && make(box, "p", { id: `${id}-error`, class: "nbkeras-wrong", role: "alert" }, error);
    return { box, common, tail };
  }

  function options(select, offered, value) {
    for (const option of offered) {
      const [name, shown] = Array.isArray(option) ? option : [option, option ?? words.none];
      make(select, "option", { value: name ?? "", selected: (name ?? "") === (value ?? "") }, shown);
    }
  }

  function choice(parent, key, label, offered, value, act, error = "", hint = "") {
    const { box, common, tail } = field(parent, key, label, error);
    const select = make(box, "select", common);
    options(select, offered, value);
    select.addEventListener("change", () => act(select.value));
    tail();
    if (hint) make(box, "p", { class: "nbkeras-quiet" }, hint);
    return select;
  }

  function entry(parent, key, label, value, act, error = "", hint = "") {
    const { box, common, tail } = field(parent, key, label, error);
    const input = make(box, "input", { ...common, type: "text", value: value ?? "", autocomplete: "off" });
    let last = input.value;
    const commit = () => {
      // Some browsers say that a field is left when it is redrawn: there somebody is still typing.
      if (!isDrawing && input.value !== last) act((last = input.value));
    };
    input.addEventListener("change", commit);
    // What was put into a field when it was redrawn is no change to a browser.
    input.addEventListener("blur", commit);
    input.addEventListener("keydown", (event) => event.key === "Enter" && commit());
    input.isTyped = () => input.value !== last;
    tail();
    if (hint) make(box, "p", { class: "nbkeras-quiet" }, hint);
    return input;
  }

  function tick(parent, key, label, value, act) {
    const box = make(parent, "label", { class: "nbkeras-tick" });
    const input = make(box, "input", { type: "checkbox", checked: value, "data-key": key });
    make(box, "span", {}, label);
    input.addEventListener("change", () => act(input.checked));
  }

  function button(parent, key, label, act, more = {}) {
    const made = make(parent, "button", { type: "button", "data-key": key, ...more }, label);
    made.addEventListener("click", act);
    return made;
  }

  function group(parent, title, name) {
    const made = make(parent, "fieldset", { class: `nbkeras-${name}` });
    make(made, "legend", {}, title);
    return made;
  }

  function drawData(state, columns) {
    const box = make(group(root, words.data, "data"), "div", { class: "nbkeras-row" });
    const fields = [["data", words.frame, state.frames, state.data]];
    const named = columns.filter((one) => one.label).map((one) => [one.name, `${one.name} (${one.kind})`]);
    fields.push(["label", words.label, named, state.label]);
    const auto = fill(words.task_auto, { task: words[`task_${state.task}`] });
    fields.push(["task", words.task, state.tasks.map((one) => [one, one === "auto" ? auto : words[`task_${one}`]]), state.chosen]);
    for (const [key, label, offered, value] of fields) {
      choice(box, key, label, offered, value, (chosen) => tell(key, { value: chosen }), state.errors[key], state.hints[key]);
    }
    drawFeatures(box, state, columns.filter((one) => one.name !== state.label && !one.why));
    drawLeftOut(box, columns.filter((one) => one.why));
  }

  function drawLeftOut(parent, columns) {
    if (!columns.length) return;
    const details = make(parent, "details", { class: "nbkeras-field nbkeras-left", open: leftOpen });
    make(details, "summary", { "data-key": "left" }, fill(words.left_out, { count: whole.format(columns.length) }));
    details.addEventListener("toggle", () => { leftOpen = details.open; });
    const list = make(details, "div", { class: "nbkeras-list" });
    for (const one of columns.slice(0, FEW)) make(list, "p", {}, `${one.name} (${one.kind}): ${words[`why_${one.why}`]}`);
    if (columns.length > FEW) make(list, "p", {}, fill(words.more_left, { count: whole.format(columns.length - FEW) }));
  }

  function drawFeatures(parent, state, usable) {
    const box = make(parent, "div", { class: "nbkeras-field nbkeras-features" });
    // Ticks that the kernel has not answered yet are not undone by its answer to an earlier one.
    const told = unheard("features")?.value ?? usable.filter((one) => one.chosen).map((one) => one.name);
    const chosen = new Set(told);
    make(box, "span", { class: "nbkeras-quiet", "aria-hidden": "true" }, words.features);
    const details = make(box, "details", { open: featuresOpen });
    make(details, "summary", { "data-key": "features" }, fill(words.features_chosen, { count: whole.format(chosen.size), all: whole.format(usable.length) }));
    details.addEventListener("toggle", () => { featuresOpen = details.open; });
    const list = make(details, "div", { class: "nbkeras-list", role: "group", "aria-label": words.features });
    const search = usable.length > FEW && make(list, "input", {
      type: "search", "data-key": "filter", "aria-label": words.filter, placeholder: words.filter, value: filter,
    });
    const ticks = make(list, "div");
    const drawTicks = () => {
      ticks.replaceChildren();
      const found = usable.filter((one) => one.name.toLowerCase().includes(filter.toLowerCase()));
      for (const one of found.slice(0, FEW)) {
        tick(ticks, `feature ${one.name}`, `${one.name} (${one.kind})`, chosen.has(one.name), (on) => {
          on ? chosen.add(one.name) : chosen.delete(one.name);
          tell("features", { value: [...chosen] });
        });
      }
      if (found.length > FEW) make(ticks, "p", { class: "nbkeras-quiet" }, fill(words.more_columns, { count: whole.format(found.length - FEW) }));
    };
    if (search) search.addEventListener("input", () => { filter = search.value; drawTicks(); });
    drawTicks();
    if (state.errors.features) make(box, "p", { class: "nbkeras-wrong", role: "alert" }, state.errors.features);
  }

  const shape = (sizes) => `(${sizes.map((one) => one ?? words.any).join(", ")})`;

  function drawLayer(list, state, layer, at) {
    const { number } = layer, key = `layer ${number}`;
    const count = state.layers.length, most = Math.max(1, ...state.layers.map((one) => one.weights));
    const wrong = layer.error || layer.arguments.find((one) => one.error)?.error;
    const row = make(list, "li", { draggable: "true", class: wrong ? "nbkeras-bad" : "" });
    const head = make(row, "div", { class: "nbkeras-head" });
    make(head, "span", { class: "nbkeras-dot", style: `background:${words.colours[layer.kind]}` });
    const isOpen = opened === number;
    const open = button(head, key, "", () => { opened = isOpen ? null : number; draw(); }, {
      class: "nbkeras-open", "aria-expanded": String(isOpen), title: words.keys,
    });
    make(open, "strong", {}, layer.kind);
    if (layer.said) make(open, "span", { class: "nbkeras-quiet" }, ` ${layer.said}`);
    make(head, "span", { class: "nbkeras-quiet nbkeras-shape" }, layer.shape ? shape(layer.shape) : "");
    const share = make(head, "span", { class: "nbkeras-share" });
    if (layer.weights) {
      make(share, "i", { style: `background:${words.colours[layer.kind]};width:${Math.max(3, (44 * layer.weights) / most)}px` });
      make(share, "span", { title: fill(words.weights, { count: whole.format(layer.weights) }) }, whole.format(layer.weights));
    }
    const named = { number: at + 1, kind: layer.kind }, buttons = make(head, "span", { class: "nbkeras-moves" });
    const move = (by) => tell("move", { layer: number, by });
    button(buttons, `${key} up`, "↑", () => move(-1), { disabled: at === 0, "aria-label": fill(words.up, named) });
    button(buttons, `${key} down`, "↓", () => move(1), { disabled: at === count - 1, "aria-label": fill(words.down, named) });
    const remove = () => {
      if (isOpen) opened = null;
      tell("remove", { layer: number });
    };
    button(buttons, `${key} remove`, "✕", remove, { "aria-label": fill(words.remove, named) });
    open.addEventListener("keydown", (event) => {
      const act = { ArrowUp: () => move(-1), ArrowDown: () => move(1) }[event.key];
      if (event.key === "Delete") remove();
      else if (event.altKey && act) act();
      else return;
      event.preventDefault();
    });
    drag(row, number, at);
    if (isOpen) drawArguments(row, layer);
    if (wrong && !(isOpen && !layer.error)) make(row, "p", { class: "nbkeras-wrong", role: "alert" }, wrong);
  }

  function drag(row, number, at) {
    row.addEventListener("dragstart", (event) => { dragged = { number, at }; event.dataTransfer.effectAllowed = "move"; });
    row.addEventListener("dragend", () => { dragged = null; });
    row.addEventListener("dragover", (event) => {
      if (dragged === null) return;
      event.preventDefault();
      row.classList.toggle("nbkeras-below", dragged.at < at);
      row.classList.toggle("nbkeras-above", dragged.at > at);
    });
    row.addEventListener("dragleave", () => row.classList.remove("nbkeras-below", "nbkeras-above"));
    row.addEventListener("drop", (event) => {
      event.preventDefault();
      row.classList.remove("nbkeras-below", "nbkeras-above");
      if (dragged !== null && dragged.number !== number) tell("move", { layer: dragged.number, onto: number });
    });
  }

  function drawArguments(row, layer) {
    const fields = make(row, "div", { class: "nbkeras-arguments" });
    if (!layer.arguments.length) make(fields, "p", { class: "nbkeras-quiet" }, words.no_arguments);
    for (const one of layer.arguments) {
      const key = `layer ${layer.number} ${one.name}`;
      const act = (value) => tell("set", { layer: layer.number, name: one.name, value });
      if (one.type === "flag") tick(fields, key, one.name, one.value, act);
      else if (one.type === "choice") choice(fields, key, one.name, one.options, one.value, act, one.error);
      else entry(fields, key, one.name, one.value, act, one.error);
    }
  }

  function drawLayers(parent, state) {
    const box = group(parent, words.network, "network");
    const { box: place, common, tail } = field(box, "preset", words.preset, state.errors.preset ?? state.errors.model);
    const start = make(place, "select", common);
    // So that what it was can be chosen again.
    if (!state.preset) make(start, "option", { value: "", selected: true, disabled: true }, words.own);
    options(make(start, "optgroup", { label: words.presets }), state.presets, state.preset);
    if (state.models.length) options(make(start, "optgroup", { label: words.models }), state.models.map((one) => [`model ${one}`, one]), null);
    start.addEventListener("change", () => {
      opened = null;
      if (start.value.startsWith("model ")) tell("model", { value: start.value.slice(6) });
      else tell("preset", { value: start.value });
    });
    tail();
    const list = make(box, "ol", { "aria-label": words.network });
    const input = make(make(list, "li", { class: "nbkeras-input" }), "div", { class: "nbkeras-head" });
    make(input, "span", { class: "nbkeras-dot" });
    make(input, "span", { class: "nbkeras-open" }, words.input);
    make(input, "span", { class: "nbkeras-quiet nbkeras-shape" }, shape(state.input));
    state.layers.forEach((layer, at) => drawLayer(list, state, layer, at));
    if (!state.layers.length) make(box, "p", { class: "nbkeras-wrong", role: "alert" }, fill(words.no_layers, { layer: state.answer }));
    drawAdding(box, state);
    const memory = whole.format(Math.ceil(state.memory / 2 ** 20));
    make(box, "p", { class: "nbkeras-total" }, fill(words.total, { count: whole.format(state.weights), memory }));
  }

  function drawAdding(parent, state) {
    const row = make(parent, "div", { class: "nbkeras-adding" });
    const { box, common, tail } = field(row, "kind", words.kind, state.errors.add);
    const kinds = make(box, "select", common);
    for (const [name, offered] of Object.entries(state.offered)) {
      options(make(kinds, "optgroup", { label: words[`group_${name}`] }), offered, added);
    }
    kinds.addEventListener("change", () => { added = kinds.value; });
    tail();
    button(row, "add", words.add, () => {
      // Behind the layer that is open; the new one is opened when it comes.
      newest = Math.max(-1, ...state.layers.map((one) => one.number));
      tell("add", { kind: kinds.value, behind: opened });
    });
  }

  function drawTraining(parent, state) {
    const box = group(parent, words.training, "training"), row = make(box, "div", { class: "nbkeras-row" });
    const act = (name) => (value) => tell(name, { value });
    choice(row, "loss", words.loss, state.losses, state.loss, act("loss"), state.errors.loss);
    choice(row, "optimizer", words.optimizer, state.optimizers, state.optimizer, act("optimizer"), state.errors.optimizer);
    for (const name of ["learning_rate", "batch_size", "epochs", "validation_split"]) {
      entry(row, name, words[name], state[name], act(name), state.errors[name]);
    }
    entry(row, "patience", words.patience, state.patience, act("patience"), state.errors.patience, words.patience_hint);
    entry(row, "workers", words.workers, state.workers, act("workers"), state.errors.workers);
    choice(row, "backend", words.backend, state.backends, state.backend, act("backend"), state.errors.backend);
    drawMetrics(box, state);
    const training = model.get("training");
    const go = make(box, "div", { class: "nbkeras-go" });
    // Not disabled, which would take the focus from it.
    const isOff = !state.ready || training.phase !== "";
    button(go, "train", words.train_now, () => isOff || tell("train"), { class: "nbkeras-main", "aria-disabled": String(isOff) });
    const why = training.phase ? words[`train_${training.phase}`] : state.ready ? words.what : words.not_ready;
    make(go, "span", { class: "nbkeras-quiet" }, why);
    if (training.error) make(box, "p", { class: "nbkeras-wrong", role: "alert" }, training.error);
  }

  function drawMetrics(parent, state) {
    const row = make(parent, "div", { class: "nbkeras-metrics", role: "group", "aria-label": words.metrics });
    make(row, "span", { class: "nbkeras-quiet", "aria-hidden": "true" }, words.metrics);
    const chosen = new Set(unheard("metrics")?.value ?? state.metrics);
    for (const one of state.known_metrics) {
      tick(row, `metric ${one}`, one, chosen.has(one), (on) => {
        on ? chosen.add(one) : chosen.delete(one);
        tell("metrics", { value: [...chosen] });
      });
    }
  }

  function drawCode(parent, state) {
    const box = group(parent, words.code, "code");
    const pre = make(box, "pre", { tabindex: "0", "aria-label": words.code, "data-key": "code" });
    make(pre, "code", {}, state.code);
    const made = button(box, "copy", words.copy, async () => {
      made.textContent = said.textContent = (await copyText(state.code, pre)) ? words.copied : words.copy_by_hand;
      setTimeout(() => { made.textContent = words.copy; said.textContent = ""; }, COPIED);
    });
  }

  function draw() {
    isLate = false;
    const state = model.get("state"), active = el.getRootNode().activeElement;
    const within = root.contains(active) ? active : null;
    const typed = within?.isTyped?.() ? within.value : null, from = within?.selectionStart, to = within?.selectionEnd;
    const scrolled = [...root.querySelectorAll(".nbkeras-list, pre")].map((one) => one.scrollTop);
    const numbers = state.layers.map((one) => one.number), last = Math.max(...numbers);
    if (newest !== null && last > newest) [opened, newest] = [last, null];
    if (!numbers.includes(opened)) opened = null;
    isDrawing = true;
    root.replaceChildren();
    isDrawing = false;
    drawData(state, model.get("columns"));
    const halves = make(root, "div", { class: "nbkeras-halves" });
    drawLayers(halves, state);
    const right = make(halves, "div");
    drawTraining(right, state);
    drawCode(right, state);
    [...root.querySelectorAll(".nbkeras-list, pre")].forEach((one, i) => { one.scrollTop = scrolled[i] ?? 0; });
    // The field in which somebody types, or the button that has moved with its layer, stays in focus.
    // What Tab has selected in it stays so too: what is typed next is to replace it.
    const key = within?.dataset.key;
    const find = (one) => root.querySelector(`[data-key="${CSS.escape(one)}"]`);
    let next = key && find(key);
    if (next && typed !== null) next.value = typed;
    // A layer that is the first by now has no way up.
    if (next?.disabled) next = find(key.replace(/ (up|down)$/, ""));
    // Where a layer has gone, the one below takes the focus, or else the one above.
    const gone = next ? -1 : drawn.indexOf(Number(/^layer (\d+)/.exec(key)?.[1]));
    if (gone >= 0) {
      const near = [...drawn.slice(gone), ...drawn.slice(0, gone).reverse()].find((one) => numbers.includes(one));
      next = find(near === undefined ? "add" : `layer ${near}`);
    }
    drawn = numbers;
    if (!next) return;
    next.focus({ preventScroll: true });
    if (typeof from === "number" && ["text", "search"].includes(next.type)) next.setSelectionRange(from, to);
  }

  // What a pointer has gone down on is there until it comes up: else the click would be lost.
  let isDown = false;
  const later = () => {
    isLate = true;
    frameAsked ||= requestAnimationFrame(() => { frameAsked = 0; if (!isDown) draw(); });
  };
  // A list takes the pointer with it when it opens, and one that leaves the window may come up outside.
  const down = (event) => {
    isDown = !event.target.closest("select");
    setTimeout(up, LONGEST_CLICK);
  };
  const up = () => setTimeout(() => {
    isDown = false;
    if (isLate) later();
  });
  frame.addEventListener("pointerdown", down);
  for (const name of ["pointerup", "pointercancel", "dragend"]) addEventListener(name, up, true);
  for (const name of ["state", "columns", "training"]) model.on(`change:${name}`, later);
  draw();
  return () => {
    close();
    for (const name of ["pointerup", "pointercancel", "dragend"]) removeEventListener(name, up, true);
    cancelAnimationFrame(frameAsked);
    for (const name of ["state", "columns", "training"]) model.off(`change:${name}`, later);
  };
}

export default { render };
