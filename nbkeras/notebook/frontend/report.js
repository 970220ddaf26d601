// A report in a page, in place of its picture and its tables.

import { inPlace } from "./in-place.js";
import { drawReport } from "./report-view.js";

function showReport(id, values) {
  inPlace(id, values, drawReport);
}
