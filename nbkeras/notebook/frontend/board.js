// A comparison in a page, in place of its table and its picture.

import { drawBoard } from "./board-view.js";
import { inPlace } from "./in-place.js";

function showBoard(id, values) {
  inPlace(id, values, drawBoard);
}
