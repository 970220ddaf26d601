// Where the axes of a chart begin, end, and have their ticks.

function niceStep(span, count) {
  const rough = span / count, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= rough * 0.999);
}

// The axis of epochs grows with a long run: of 10,000 epochs the first ten would be one pixel.
export function lastEpochShown(epochs, reached) {
  if (epochs <= 20 || reached * 5 >= epochs) return Math.max(epochs, reached);
  const power = 10 ** Math.floor(Math.log10(Math.max(10, 2 * reached)));
  const nice = [1, 2, 5, 10].map((digit) => digit * power).find((end) => end >= 2 * reached);
  return Math.min(epochs, Math.max(10, nice));
}

export function epochTicks(first, last) {
  const step = Math.max(1, niceStep(last - first, 5)), ticks = [first];
  for (let x = step; x < last; x += step) if (x - first > step / 2 && last - x > step / 2) ticks.push(x);
  return [...ticks, last];
}

// The ends of the axis of values, with some room around a flat curve.
export function valueRange(values, log) {
  if (!values.length) return log ? [0.1, 1] : [0, 1];
  const low = Math.min(...values), high = Math.max(...values);
  // Smaller differences than float32 has come from the smoothing.
  if (high - low > 1e-8 * Math.max(Math.abs(low), Math.abs(high))) return [low, high];
  if (log) return [low / 2, high * 2];
  const room = Math.abs(low) / 10 || 0.5;
  return [low - room, high + room];
}

export function valueTicks(low, high, log) {
  const decades = Math.log10(high / low);
  if (log && decades >= 1) return powerTicks(low, high, decades);
  const step = niceStep(high - low, 5), ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(Number((i * step).toPrecision(6)));
  return ticks.filter((tick) => !log || tick > 0);
}

function powerTicks(low, high, decades) {
  const every = Math.ceil(decades / 5), between = decades < 2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    if (power % every) continue;
    for (const digit of between) ticks.push(Number(`${digit}e${power}`));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

// Moves labels apart until none covers another (as spread in chart.py).
export function spread(labels, gap, low, high) {
  labels.sort((a, b) => a.y - b.y);
  let floor = low;
  for (const label of labels) floor = (label.place = Math.max(label.y, floor)) + gap;
  let ceiling = high;
  for (const label of labels.toReversed()) ceiling = (label.place = Math.min(label.place, ceiling)) - gap;
}
