// What a report holds, as its views want it; see described.py and reports/view.py.

import { figure, whole } from "./number.js";

const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

// A part of something between 0 and 1.
export const share = (value) => (typeof value === "number" ? percent.format(value) : "");

// What a figure or a column is called.
export const called = (name, words) => words[`figure_${name}`] ?? String(name);

// A figure of a table; nothing where there is none, as in the saved page.
const filled = (value) => (value === null ? "" : figure(value));

// The columns and the rows of a table, its index in front where it has a name.
export function tableOf(table, words) {
  const named = table.index.name !== null, columns = named ? [table.index, ...table.columns] : table.columns;
  const counts = new Set(["support", "rows"]);
  return {
    names: columns.map((column) => column.name),
    columns: columns.map(({ name, type }) => ({
      title: name === "class" ? words.class : called(name, words),
      text: type.startsWith("int") || counts.has(name) ? (value) => whole.format(value) : filled,
    })),
    rows: table.index.values.map((_, at) => columns.map((column) => column.values[at])),
  };
}

// Values of a table by the names of its columns, for each row.
export function recordsOf(table) {
  return table.index.values.map((_, at) => Object.fromEntries(table.columns.map(({ name, values }) => [name, values[at]])));
}

// The weights of rows by actual and by predicted class, with the names and the sums of both.
export function matrixOf(report) {
  const { index, columns } = report.confusion;
  const cells = index.values.map((_, row) => columns.map((column) => column.values[row]));
  const sum = (values) => values.reduce((all, one) => all + one, 0);
  return {
    names: index.values.map(String),
    cells,
    actual: cells.map(sum),
    predicted: columns.map((column) => sum(column.values)),
  };
}
