// Files, made in the browser without the kernel.

import { button, fill, make } from "./dom.js";

export function fileName(name, ending) {
  const safe = name.normalize().replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80);
  return `${safe || "run"}.${ending}`;
}

export function save(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = make(document.body, "a", { href: url, download: name });
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// Lines of cells as CSV.
export function csvText(lines) {
  const quoted = (cell) => {
    const text = String(cell ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

// Buttons for the files of what is shown: `name(ending)` names each, `csv()` and `json()` write them, `picture` is
// a PNG as base64, if there is one.
export function drawFiles(parent, words, { name, csv, json, picture }) {
  const files = make(parent, "span", { class: "nbkeras-files", role: "group", "aria-label": words.download });
  make(files, "span", { "aria-hidden": "true" }, words.download);
  const asTable = () => save(name("csv"), csv(), "text/csv");
  button(files, "CSV", "CSV", asTable, { "aria-label": words.download_table, title: words.download_table });
  const asJson = () => save(name("json"), json(), "application/json");
  button(files, "JSON", "JSON", asJson, { "aria-label": fill(words.download_as, { format: "JSON" }) });
  if (!picture) return;
  const bytes = () => Uint8Array.from(atob(picture), (one) => one.charCodeAt(0));
  const asPicture = () => save(name("png"), new Blob([bytes()], { type: "image/png" }));
  button(files, "PNG", "PNG", asPicture, { "aria-label": fill(words.download_as, { format: "PNG" }) });
}
