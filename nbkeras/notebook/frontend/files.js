// Files, made in the browser without the kernel.

import { make } from "./dom.js";

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
