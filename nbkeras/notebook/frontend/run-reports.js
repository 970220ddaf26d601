// The reports that are kept with a run, or with none: which there are, and the one that is open.

import { drawBoard } from "./board-view.js";
import { button, fill, make, wordsOf } from "./dom.js";
import { drawReport } from "./report-view.js";

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// The buttons that choose among several.
function drawList({ send }, parent, { reports, place }, title) {
  const list = make(parent, "div", { class: "nbkeras-list", role: "group", "aria-label": title });
  reports.forEach((one, at) => {
    const when = one.made ? moment.format(new Date(1000 * one.made)) : "";
    const words = [one.title, when].filter(Boolean).join(" · ");
    button(list, `report ${at}`, words, () => send("report", [], { place: at }), { "aria-pressed": String(at === place) });
  });
}

export function drawOpened(panel, state) {
  const { model, words, opened, send } = panel, report = model.get("report"), found = state.opened;
  opened.replaceChildren();
  opened.removeAttribute("aria-label");
  if (state.others && !found) {
    button(opened, "others", fill(words.open_others, { count: state.others }), () => send("others"));
  }
  if (!found) return;
  const title = found.name ? fill(words.reports_title, { name: found.name }) : words.others_title;
  opened.setAttribute("aria-label", title);
  const head = make(opened, "div", { class: "nbkeras-runs-head" });
  make(head, "strong", { class: "nbkeras-run-name" }, title);
  button(head, "close reports", words.close, () => send("close"));
  if (found.reports.length > 1) drawList(panel, opened, found, title);
  const saying = wordsOf({ get: () => model.get("report_words") });
  if (report.report) drawReport(opened, saying, report, report.picture);
  else drawBoard(opened, wordsOf({ get: () => report.words }), report.board, report.picture);
}
