// A report in a page, in place of its picture and its tables.

import { wordsOf } from "./dom.js";
import { drawReport } from "./report-view.js";

function showReport(id, { words, state }) {
  const place = document.getElementById(id);
  if (!place) return;
  const address = place.querySelector("figure img")?.src ?? "";
  // Replaces them only when everything is drawn: after an error they are still there.
  const drawn = document.createElement("div");
  drawReport(drawn, wordsOf({ get: () => words }), state, address.split("base64,")[1]);
  place.replaceChildren(...place.querySelectorAll(":scope > style"), drawn);
}
