// The field of the learning rate: it shows the rate of the run, except while the user types another one.

import { make } from "./dom.js";

const plain = (rate) => (rate === null ? "" : String(Number(rate.toPrecision(6))));

// A field whose whole text is selected, as after Tab, stays so: the next text replaces the new rate too.
function show(field, rate) {
  if (field.value === rate) return;
  const focused = document.activeElement === field;
  const all = focused && field.selectionEnd - field.selectionStart === field.value.length;
  field.value = rate;
  if (all) field.select();
}

function listenToField(field, { model, requests, wrong, changed }) {
  const rate = () => model.get("state").learning_rate;

  field.addEventListener("input", () => {
    field.dataset.typed = field.value.trim() === plain(rate()) ? "" : "yes";
    wrong.textContent = "";
    changed();
  });

  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = plain(rate());
      field.dataset.typed = "";
      wrong.textContent = "";
    } else if (event.key === "Enter") {
      event.preventDefault();
      wrong.textContent = "";
      requests.ask("learning_rate", { value: field.value.trim(), before: rate() });
    } else return;
    event.stopPropagation();
    changed();
  });
}

function markWrong(field, refused, wrong) {
  if (refused) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", wrong.id);
  } else {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

export function rateField(parent, steer) {
  const { model, words, requests, wrong, typed } = steer;
  const label = make(parent, "label", { class: "nbkeras-rate", title: words.learning_rate_title });
  make(label, "span", {}, words.learning_rate);
  const field = make(label, "input", { type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
  listenToField(field, steer);

  function draw(ending) {
    const asked = requests.asked.learning_rate;
    field.disabled = ending;
    if (!field.dataset.typed && !asked) show(field, plain(model.get("state").learning_rate));
    const refused = Boolean(wrong.textContent) && wrong.dataset.kind === "learning_rate";
    markWrong(field, refused, wrong);
    const unsent = field.dataset.typed && !refused && !ending && !asked;
    typed.textContent = asked?.answered() ? words.learning_rate_asked : unsent ? words.learning_rate_typed : "";
  }

  return { draw, clearTyped: () => { field.dataset.typed = ""; } };
}
