// Tabs: a list of buttons, of which one is chosen and shows its panel.

import { make, unique } from "./dom.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// Draws the tabs of [{key, title, draw}], where draw fills the panel. Returns what tells the key of the chosen one,
// and what chooses one by its key.
export function tabs(parent, label, entries) {
  // Neither a screen reader nor the notebook may take the arrow keys.
  const list = make(parent, "div", {
    class: "nbkeras-tabs", role: "tablist", "aria-label": label, "data-lm-suppress-shortcuts": "true",
  });
  const panel = make(parent, "div", { class: "nbkeras-tab", role: "tabpanel", id: unique() });
  let chosen = "";
  const buttons = entries.map(({ key, title }) => make(list, "button", {
    type: "button", role: "tab", id: unique(), "aria-controls": panel.id, "data-key": `tab ${key}`,
  }, title));

  function choose(place, focus) {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === place));
      button.tabIndex = at === place ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", buttons[place].id);
    chosen = entries[place].key;
    panel.replaceChildren();
    entries[place].draw(panel);
    if (focus) buttons[place].focus();
  }

  buttons.forEach((button, place) => {
    button.addEventListener("click", () => choose(place, false));
    button.addEventListener("keydown", (event) => {
      const ends = { Home: 0, End: buttons.length - 1 };
      const next = ends[event.key] ?? (event.key in STEPS ? place + STEPS[event.key] : null);
      if (next === null) return;
      event.preventDefault();
      event.stopPropagation();
      choose((next + buttons.length) % buttons.length, true);
    });
  });
  choose(0, false);
  return { chosen: () => chosen, choose: (key) => choose(entries.findIndex((one) => one.key === key), true) };
}
