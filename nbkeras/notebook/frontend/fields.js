// The fields of a form. Each has a label, and its error below.

import { make, unique } from "./dom.js";

const MAX_OPTIONS = 40; // in a list

// The box of a field, the attributes of its control, and what adds the error behind the control.
export function field(parent, key, label, error) {
  const box = make(parent, "div", { class: "nbkeras-field" });
  const id = unique();
  make(box, "label", { for: id }, label);
  const common = { id, "data-key": key };
  if (error) Object.assign(common, { "aria-invalid": "true", "aria-describedby": `${id}-error` });
  const addError = () => error && make(box, "p", { id: `${id}-error`, class: "nbkeras-wrong", role: "alert" }, error);
  return { box, common, addError };
}

// Each option is a value, or a value with its label; null is labelled `none`.
export function options(select, offered, value, none = "") {
  for (const option of offered) {
    const [name, label] = Array.isArray(option) ? option : [option, option ?? none];
    make(select, "option", { value: name ?? "", selected: (name ?? "") === (value ?? "") }, label);
  }
}

export function choice(parent, { key, label, offered, value, act, none, error = "", hint = "" }) {
  const { box, common, addError } = field(parent, key, label, error);
  const select = make(box, "select", common);
  options(select, offered, value, none);
  select.addEventListener("change", () => act(select.value));
  addError();
  if (hint) make(box, "p", { class: "nbkeras-quiet" }, hint);
}

// One of many: where a list would be too long, a text, and below it some of the options that it is a part of.
export function pick(parent, { offered, none, ...rest }) {
  if (offered.length <= MAX_OPTIONS) choice(parent, { offered, none, ...rest });
  else suggest(entry(parent, rest), offered);
}

function suggest(input, offered) {
  const list = make(input.parentNode, "datalist", { id: unique() });
  input.setAttribute("list", list.id);
  const draw = () => {
    const typed = input.value.toLowerCase();
    const found = offered.filter(([name]) => name.toLowerCase().includes(typed));
    list.replaceChildren();
    for (const [name, label] of found.slice(0, MAX_OPTIONS)) make(list, "option", { value: name }, label);
  };
  input.addEventListener("input", draw);
  draw();
}

// `isDrawing` says whether the form is being redrawn.
export function entry(parent, { key, label, value, act, isDrawing, error = "", hint = "" }) {
  const { box, common, addError } = field(parent, key, label, error);
  const input = make(box, "input", { ...common, type: "text", value: value ?? "", autocomplete: "off" });
  let last = input.value;
  const commit = () => {
    // Some browsers report that a field loses the focus when it is redrawn: the user is still typing.
    if (!isDrawing() && input.value !== last) act((last = input.value));
  };
  input.addEventListener("change", commit);
  // A browser reports no change of a text that a redraw has put into the field.
  input.addEventListener("blur", commit);
  input.addEventListener("keydown", (event) => event.key === "Enter" && commit());
  input.isTyped = () => input.value !== last;
  addError();
  if (hint) make(box, "p", { class: "nbkeras-quiet" }, hint);
  return input;
}

export function tick(parent, { key, label, value, act }) {
  const box = make(parent, "label", { class: "nbkeras-tick" });
  const input = make(box, "input", { type: "checkbox", checked: value, "data-key": key });
  make(box, "span", {}, label);
  input.addEventListener("change", () => act(input.checked));
}

export function group(parent, title, name) {
  const made = make(parent, "fieldset", { class: `nbkeras-${name}` });
  make(made, "legend", {}, title);
  return made;
}
