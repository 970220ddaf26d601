// Elements and words: what every widget draws with.

import { whole } from "./number.js";

// Text goes in by textContent and attributes only: a metric's or column's name is data, never markup.
export function make(parent, name, attributes = {}, words = undefined) {
  const svg = name === "svg" || parent?.namespaceURI?.endsWith("svg");
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  if (words !== undefined) made.textContent = words;
  parent?.append(made);
  return made;
}

// The key finds the button again after a redraw.
export function button(parent, key, label, act, attributes = {}) {
  const made = make(parent, "button", { type: "button", "data-key": key, ...attributes }, label);
  made.addEventListener("click", act);
  return made;
}

// What a widget says: in the language that the kernel's environment has chosen, else in the page's own.
export function wordsOf(model) {
  const all = model.get("words"), page = document.documentElement.lang;
  const language = all.chosen || (page && page !== "en" ? page : navigator.language); // JupyterLab always sets en
  return all[language.startsWith("zh") ? "zh" : "en"];
}

export function fill(words, values) {
  return words.replace(/\{(\w+)\}/g, (_, key) => {
    const value = values[key];
    return typeof value === "number" ? whole.format(value) : String(value);
  });
}

// An id, for an element that another one refers to, or for a message that waits for its answer.
export const unique = () => `nbkeras-${Math.random().toString(36).slice(2)}`;

// Copies a text to the clipboard. Returns false where the page has no clipboard, as over plain HTTP from
// another machine, and selects the text in the element that shows it.
export async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}
