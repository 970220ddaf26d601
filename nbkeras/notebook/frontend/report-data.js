// What a report holds, as its views want it; see described.py and report_view.py.

import { number, whole } from "./number.js";

const decimals = new Intl.NumberFormat(undefined, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

// A part of something between 0 and 1.
export const share = (value) => (typeof value === "number" ? percent.format(value) : "");

// A figure: NaN comes as null, in an array too.
export function figure(value) {
  if (value?.$float !== undefined) return figure(value.$float);
  if (value === null || value === undefined) return "NaN";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) > 1) return whole.format(value);
  return Math.abs(value) < 1000 && (Math.abs(value) >= 0.0001 || value === 0) ? decimals.format(value) : number(value);
}

// What a figure or a column is called.
export const called = (name, words) => words[`figure_${name}`] ?? String(name);

// The columns and the rows of a table, its index in front where it has a name.
export function tableOf(table, words) {
  const named = table.index.name !== null, columns = named ? [table.index, ...table.columns] : table.columns;
  const counts = new Set(["support", "rows"]);
  return {
    names: columns.map((column) => column.name),
    columns: columns.map(({ name, type }) => ({
      title: name === "class" ? words.class : called(name, words),
      text: type.startsWith("int") || counts.has(name) ? (value) => whole.format(value) : figure,
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
