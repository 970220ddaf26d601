// Files of the charts, made in the browser without the kernel.

import { make } from "./dom.js";
import { csvText } from "./files.js";
import { HEIGHT, drawChart } from "./chart.js";
import { shortest } from "./number.js";
import { byChart } from "./series.js";

const CHART = 440, TITLE = 24, HEAD = 34, EDGE = 14; // px
const SHARPNESS = 2; // pixels of the PNG for each of the SVG

// All charts in one picture, which needs no style sheet: plain colours on white.
export function picture(state, curves, words, settings) {
  const charts = [...byChart(curves)], columns = Math.min(2, charts.length);
  const width = columns * CHART + 2 * EDGE;
  const height = Math.ceil(charts.length / columns) * (HEIGHT + TITLE) + HEAD + EDGE;
  const svg = make(null, "svg", {
    xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`,
    "font-family": "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif",
  });
  make(svg, "title", {}, state.name);
  make(svg, "rect", { width, height, fill: "#ffffff" });
  const head = make(svg, "text", { x: EDGE, y: 22, "font-size": 14, fill: "#1a1a1a" });
  make(head, "tspan", { "font-weight": "bold" }, state.name);
  make(head, "tspan", { dx: 8, fill: "#555555", "font-size": 12 }, state.end[words.language]);
  charts.forEach(([title, members], at) => {
    const x = EDGE + (at % columns) * CHART, y = HEAD + Math.floor(at / columns) * (HEIGHT + TITLE);
    make(svg, "text", { x: x + 44, y: y + 15, "font-size": 13, "font-weight": "bold", fill: "#1a1a1a" }, title);
    const place = make(svg, "g", { transform: `translate(${x} ${y + TITLE})` });
    drawChart(place, members, { width: CHART, epochs: state.epochs, words, ...settings });
  });
  return svg;
}

export function svgText(svg) {
  // XML has no place for these, and a name may hold them.
  const text = new XMLSerializer().serializeToString(svg).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "");
  return text.toWellFormed?.() ?? text;
}

export async function png(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SHARPNESS * svg.getAttribute("width");
  canvas.height = SHARPNESS * svg.getAttribute("height");
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

// A line for each epoch, a column for each curve; empty where an epoch has no value here.
export function csv(curves) {
  const rows = new Map();
  curves.forEach((curve, at) => {
    for (const [x, y] of curve.points) {
      if (!rows.has(x)) rows.set(x, Array(curves.length).fill(""));
      rows.get(x)[at] = shortest(y);
    }
  });
  const lines = [["epoch", ...curves.map((curve) => curve.name)]];
  for (const x of [...rows.keys()].sort((a, b) => a - b)) lines.push([x, ...rows.get(x)]);
  return csvText(lines);
}
