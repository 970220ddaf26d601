// The points of a run, as they were sent and as they are drawn.

export function decode(state, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return state.curves.map((curve) => {
    const points = [];
    for (let i = 0; i < curve.points && at + 8 <= bytes.byteLength; i++, at += 8) {
      points.push([view.getFloat32(at, true), view.getFloat32(at + 4, true)]);
    }
    return { ...curve, points };
  });
}

// What a curve shows, for training and validation alike.
export function metricOf(curve) {
  return curve.validation ? curve.name.replace(/^val_/, "") : curve.name;
}

export function byChart(curves) {
  const charts = new Map();
  for (const curve of curves) {
    if (!charts.has(curve.chart)) charts.set(curve.chart, []);
    charts.get(curve.chart).push(curve);
  }
  return charts;
}

// Exponential moving average over the points that there are, with the correction of its bias towards
// its start from zero: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), section 3.
export function smooth(points, weight) {
  let average = 0, share = 1;
  return points.map(([x, y]) => {
    average = weight * average + (1 - weight) * y;
    share *= weight;
    return [x, average / (1 - share)];
  });
}

// The points of a curve as measured, the line through them, and how many points the axis cannot show.
export function prepare(curve, { log = false, smoothing = 0 } = {}) {
  const fits = ([, y]) => !log || y > 0;
  const measured = curve.points.filter(fits);
  const line = smoothing ? smooth(curve.points, smoothing).filter(fits) : measured;
  return { ...curve, measured, line, smoothed: smoothing > 0, leftOut: curve.points.length - measured.length };
}

// The index of the number nearest to a wanted one, among ascending numbers.
export function nearest(numbers, wanted) {
  let low = 0, high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low && wanted - numbers[low - 1] <= numbers[low] - wanted ? low - 1 : low;
}
