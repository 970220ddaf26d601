// What is live in a page, in place of what stands there without scripts.

import { wordsOf } from "./dom.js";

// Draws with `draw(parent, words, state, picture)`; what was there goes only when everything is drawn.
export function inPlace(id, { words, state }, draw) {
  const place = document.getElementById(id);
  if (!place) return;
  const address = place.querySelector("figure img")?.src ?? "";
  const drawn = document.createElement("div");
  draw(drawn, wordsOf({ get: () => words }), state, address.split("base64,")[1]);
  place.replaceChildren(...place.querySelectorAll(":scope > style"), drawn);
}
