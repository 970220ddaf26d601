// What a redraw of the builder must not take from the user: the focus, what is typed and selected, what is
// scrolled.

const scrollers = (root) => [...root.querySelectorAll(".nbkeras-list, pre")];

// Before a redraw.
export function remember(root, active) {
  const element = root.contains(active) ? active : null;
  return {
    key: element?.dataset.key,
    typed: element?.isTyped?.() ? element.value : null,
    from: element?.selectionStart,
    to: element?.selectionEnd,
    scrolled: scrollers(root).map((box) => box.scrollTop),
  };
}

// After a redraw. `before` and `now` are the numbers of the layers.
export function restore(root, { key, typed, from, to, scrolled }, before, now) {
  scrollers(root).forEach((box, i) => { box.scrollTop = scrolled[i] ?? 0; });
  const find = (wanted) => root.querySelector(`[data-key="${CSS.escape(wanted)}"]`);
  let next = key && find(key);
  if (next && typed !== null) next.value = typed;
  // The first layer has no way up, the last no way down: the layer itself takes the focus.
  if (next?.disabled) next = find(key.replace(/ (up|down)$/, ""));
  next ||= nearLayer(find, key, before, now);
  if (!next) return;
  next.focus({ preventScroll: true });
  // What Tab has selected stays selected: the next text replaces it.
  if (typeof from === "number" && ["text", "search"].includes(next.type)) next.setSelectionRange(from, to);
}

// Where a layer has been removed, the one below takes the focus, or else the one above.
function nearLayer(find, key, before, now) {
  const at = before.indexOf(Number(/^layer (\d+)/.exec(key)?.[1]));
  if (at < 0) return null;
  const near = [...before.slice(at), ...before.slice(0, at).reverse()].find((number) => now.includes(number));
  return find(near === undefined ? "add" : `layer ${near}`);
}
