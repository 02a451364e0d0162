/** The plane of the canvas: data units and pixels. */

/** @typedef {{x_min: number, x_max: number, y_min: number, y_max: number}} Window */

/** Functions from data units to pixels of a square canvas, and back.
 * @param {Window} window @param {number} size pixels
 * @returns {{toX: (x: number) => number, toY: (y: number) => number, fromX: (px: number) => number, fromY: (py: number) => number}} */
export function plane({ x_min, x_max, y_min, y_max }, size) {
  const perX = size / (x_max - x_min);
  const perY = size / (y_max - y_min);
  return {
    toX: (x) => (x - x_min) * perX,
    toY: (y) => size - (y - y_min) * perY,
    fromX: (px) => x_min + px / perX,
    fromY: (py) => y_min + (size - py) / perY,
  };
}

/** The index of the nearest point within a distance in pixels, or -1.
 * @param {[number, number][]} pixels @param {number} x @param {number} y @param {number} radius */
export function nearestPoint(pixels, x, y, radius) {
  let best = -1;
  let least = radius * radius;
  pixels.forEach(([px, py], i) => {
    const squared = (px - x) ** 2 + (py - y) ** 2;
    if (squared <= least) [best, least] = [i, squared];
  });
  return best;
}

/** The window of points with a margin on each side, square where the ranges are alike.
 * @param {number[][]} points @param {number[]} axes @param {number} margin share of the range
 * @returns {Window} */
export function windowOf(points, axes, margin) {
  const [[x_min, x_max], [y_min, y_max]] = axes.slice(0, 2).map((axis) => range(points.map((point) => point[axis]), margin));
  return { x_min, x_max, y_min, y_max };
}

/** @param {number[]} values @param {number} margin */
function range(values, margin) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!(low < high)) return Number.isFinite(low) ? [low - 1, low + 1] : [-1, 1];
  return [low - margin * (high - low), high + margin * (high - low)];
}

/** About `count` round numbers within a range.
 * @param {number} low @param {number} high @param {number} count
 * @returns {number[]} */
export function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  // A rounded quotient must not lose a tick at the very end.
  const last = Math.floor(high / step + 1e-9);
  for (let i = Math.ceil(low / step - 1e-9); i <= last; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}
