/** The canvas of the plane: regions, boundary, points, axes; and what the pointer does there. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { CERTAINTIES, certaintyColors, divergingScale, mixed, paintValues, regionColors, rgbOf, sequentialScale } from "../logic/colors.js";
import { entropyOf, labelsAt } from "../logic/metrics.js";
import { nearestPoint, plane, roundTicks } from "../logic/plane.js";
import { classColors, themeColors } from "../theme.js";
import { current, subscribe } from "../state.js";

/** Side of the canvas, in CSS pixels. */
let size = 420;
const RADIUS = 3.6;
const REACH = 9; // pixels within which a point is taken

/** @type {HTMLCanvasElement} */
let canvas;
let isScheduled = false;
const cells = document.createElement("canvas");
/** @type {{x: number, y: number} | null} */
let nearest = null;

/** Builds the canvas.
 * @returns {HTMLElement} */
export function planeView() {
  canvas = h("canvas", { class: "plane", tabIndex: 0, role: "application" });
  subscribe((state, changed) => {
    if (["picture", "points", "view", "window", "shownEpoch", "cursor"].some((key) => changed.has(/** @type {any} */ (key)))) schedule();
  });
  // A hidden canvas has no size. A zoomed page has the same size with more pixels.
  new ResizeObserver(() => {
    size = canvas.clientWidth || size;
    schedule();
  }).observe(canvas);
  addEventListener("resize", schedule);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule);
  return canvas;
}

/** Marks the nearest point of another label, or nothing.
 * @param {{x: number, y: number} | null} point in data units */
export function markNearest(point) {
  nearest = point;
  schedule();
}

/** Draws in the next frame. */
export function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    draw();
  });
}

/** The window that is shown, in data units. */
export function shownWindow() {
  return current().picture?.plane.window ?? current().window;
}

/** Where an event is, in data units.
 * @param {PointerEvent} event
 * @returns {{x: number, y: number} | null} */
export function positionOf(event) {
  const window = shownWindow();
  if (!window) return null;
  const box = canvas.getBoundingClientRect();
  const { fromX, fromY } = plane(window, size);
  return { x: fromX(((event.clientX - box.left) / box.width) * size), y: fromY(((event.clientY - box.top) / box.height) * size) };
}

/** The index of the point below the pointer, or -1.
 * @param {{x: number, y: number}} position in data units */
export function pointAt({ x, y }) {
  const { points, view } = current();
  const window = shownWindow();
  if (!window) return -1;
  const { toX, toY } = plane(window, size);
  const [a, b] = view.axes;
  return nearestPoint(points.points.map((point) => [toX(point[a]), toY(point[b])]), toX(x), toY(y), REACH);
}

function draw() {
  const { picture, points, view, cursor } = current();
  const pixels = Math.round(size * (devicePixelRatio || 1));
  if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(pixels / size, 0, 0, pixels / size, 0, 0);
  const theme = themeColors();
  context.fillStyle = theme.canvas;
  context.fillRect(0, 0, size, size);
  const window = shownWindow();
  if (!window) return;
  if (view.response === "warped" && picture?.lattices.length) return drawWarped(context, picture, theme);
  if (picture) drawCells(context, picture, theme);
  const place = plane(window, size);
  drawTicks(context, window, place, theme);
  if (picture && !shownUnit(picture)) drawLines(context, picture.lines, place, theme);
  drawPoints(context, points.points.map((point) => [place.toX(point[view.axes[0]]), place.toY(point[view.axes[1]])]), theme);
  drawAxisNames(context, theme);
  if (nearest) drawMark(context, place.toX(nearest.x), place.toY(nearest.y), theme);
  if (cursor) drawCursor(context, place.toX(cursor.x), place.toY(cursor.y), theme);
}

/** The unit that is enlarged, if the picture has it. @param {import("../state.js").Picture} picture */
function shownUnit(picture) {
  const { unit } = current().view;
  return unit && picture.units[unit.layer]?.shape[0] > unit.unit ? unit : null;
}

/** @param {CanvasRenderingContext2D} context @param {import("../state.js").Picture} picture @param {any} theme */
function drawCells(context, picture, theme) {
  const unit = shownUnit(picture);
  if (unit) paintUnit(cells, picture.units[unit.layer], unit.unit, theme, 0.5);
  else paintPlane(cells, picture, theme);
  context.imageSmoothingEnabled = unit !== null || picture.kind !== "label" || Boolean(picture.plane.certainty);
  context.drawImage(cells, 0, 0, size, size);
}

/** Paints the regions of a network, one pixel for each cell.
 * @param {HTMLCanvasElement} target @param {import("../state.js").Picture} picture @param {any} theme */
export function paintPlane(target, { kind, pair, plane: { shape, values, certainty } }, theme) {
  const colors = classColors().map(rgbOf);
  const background = rgbOf(theme.canvas);
  const { threshold, response } = current().view;
  if (certainty && response !== "label") paint(target, shape, values, certaintyColors(background, colors), (label, cell) => label * CERTAINTIES + Math.round(certainty[cell] * (CERTAINTIES - 1)));
  else if (kind === "label") paint(target, shape, values, regionColors(background, colors), (value) => value);
  else if (kind === "entropy") paint(target, shape, values, sequentialScale(background, rgbOf(theme.entropy), 0.8), entropyStep((value) => value));
  else if (response === "entropy") paint(target, shape, values, sequentialScale(background, rgbOf(theme.entropy), 0.8), entropyStep(entropyOf));
  else if (response === "label") paint(target, shape, values, regionColors(background, colors), (value) => pair[Number(value > threshold)]);
  else paint(target, shape, values, divergingScale(background, colors[pair[0]], colors[pair[1]]), stepAround(threshold));
}

/** Steps of a probability, so that the threshold has the color of the background. @param {number} threshold */
function stepAround(threshold) {
  return (/** @type {number} */ p) => Math.round(255 * (p < threshold ? (0.5 * p) / threshold : 1 - (0.5 * (1 - p)) / (1 - threshold)));
}

/** Steps of an entropy. @param {(value: number) => number} bitsOf the entropy of a value of the plane */
function entropyStep(bitsOf) {
  const most = Math.log2(Math.max(2, current().points.classes.length));
  return (/** @type {number} */ value) => Math.min(255, Math.round((255 * bitsOf(value)) / most));
}

/** Paints the map of a unit: the more negative, the more of the first color; 0 is the background.
 * @param {HTMLCanvasElement} target @param {import("../state.js").Grid} units @param {number} unit @param {any} theme
 * @param {number} [strength] share of the colors at the ends */
export function paintUnit(target, { shape, values }, unit, theme, strength = 0.85) {
  const [, height, width] = shape;
  const own = values.subarray(unit * height * width, (unit + 1) * height * width);
  let most = 1e-6;
  for (const value of own) most = Math.max(most, Math.abs(value));
  const colors = divergingScale(rgbOf(theme.canvas), rgbOf(theme.negative), rgbOf(theme.positive), strength);
  paint(target, [height, width], own, colors, (value) => Math.round(127.5 + (127.5 * value) / most));
}

/** @param {HTMLCanvasElement} target @param {number[]} shape @param {any} values @param {Uint8ClampedArray} scale
 * @param {(value: number, cell: number) => number} stepOf */
function paint(target, [height, width], values, scale, stepOf) {
  if (target.width !== width || target.height !== height) [target.width, target.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (target.getContext("2d"));
  const image = context.createImageData(width, height);
  paintValues(values, width, height, scale, stepOf, image.data);
  context.putImageData(image, 0, 0);
}

/** @param {CanvasRenderingContext2D} context @param {any} window @param {any} place @param {any} theme */
function drawTicks(context, window, place, theme) {
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "center";
  for (const x of roundTicks(window.x_min, window.x_max, 6)) {
    if (place.toX(x) > 16 && place.toX(x) < size - 40) drawText(context, signed(x), place.toX(x), size - 5, theme);
  }
  context.textAlign = "left";
  for (const y of roundTicks(window.y_min, window.y_max, 6)) {
    if (place.toY(y) > 24 && place.toY(y) < size - 24) drawText(context, signed(y), 4, place.toY(y) + 4, theme);
  }
}

/** @param {number} value */
function signed(value) {
  return String(value).replace("-", "−");
}

/** Writes text with an outline, so that it can be read on any color. @param {CanvasRenderingContext2D} context @param {string} text
 * @param {number} x @param {number} y @param {any} theme */
function drawText(context, text, x, y, theme) {
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = theme.canvas;
  context.strokeText(text, x, y);
  context.fillStyle = theme.text;
  context.fillText(text, x, y);
}

/** Names the axes at their ends. @param {CanvasRenderingContext2D} context @param {any} theme */
function drawAxisNames(context, theme) {
  const { points: { names }, view: { axes } } = current();
  const [across, up] = axes.map((axis, i) => names?.[axis] ?? (axes.every((a) => a < 2) ? "xy"[i] : `x${axis + 1}`));
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "right";
  drawText(context, across, size - 5, size - 5, theme);
  context.textAlign = "left";
  drawText(context, up, 4, 13, theme);
}

/** @param {CanvasRenderingContext2D} context @param {number[][][]} lines @param {any} place @param {any} theme */
function drawLines(context, lines, place, theme) {
  context.beginPath();
  for (const line of lines) line.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](place.toX(x), place.toY(y)));
  context.strokeStyle = theme.line;
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.stroke();
}

/** Draws points: training points are discs, validation points rings; those on the wrong side have a cross.
 * @param {CanvasRenderingContext2D} context @param {number[][]} pixels @param {any} theme */
function drawPoints(context, pixels, theme) {
  const { points } = current();
  const colors = classColors();
  const given = givenLabels(current());
  pixels.forEach(([x, y], i) => {
    const isWrong = Boolean(given && given[i] !== points.labels[i]);
    const mark = markOf(colors[points.labels[i]], Boolean(points.validation?.[i]), isWrong, theme);
    context.drawImage(mark, x - MARK / 2, y - MARK / 2, MARK, MARK);
  });
}

/** The label that each point gets, or null where that is unknown. What the network says about its points is known for its last
 * epoch; for earlier ones, and while points move, the cells of the plane tell it.
 * @param {import("../state.js").State} state
 * @returns {number[] | null} */
function givenLabels({ points, picture, run, shownEpoch, view }) {
  const isLast = shownEpoch === null || shownEpoch === run.epochs;
  if (isLast && points.probabilities?.[0]?.length === 2) return points.probabilities.map(([, p]) => Number(p > view.threshold));
  if (isLast && points.predicted) return points.predicted;
  if (!picture || picture.kind === "entropy" || points.points[0]?.length !== 2) return null;
  const { x_min, x_max, y_min, y_max } = picture.plane.window;
  return points.points.map(([x, y]) => labelNear(picture, share(y, y_min, y_max), share(x, x_min, x_max)));
}

/** Where a value lies in a range, 0 to 1. @param {number} value @param {number} low @param {number} high */
function share(value, low, high) {
  return Math.min(Math.max((value - low) / (high - low), 0), 1);
}

/** Side of the picture of a point, in pixels. */
const MARK = 12;

/** Pictures of points, which are drawn much faster than their outlines.
 * @type {Map<string, HTMLCanvasElement>} */
const marks = new Map();

/** @param {string} color @param {boolean} isRing @param {boolean} isWrong @param {any} theme */
function markOf(color, isRing, isWrong, theme) {
  const ratio = devicePixelRatio || 1;
  const key = [color, isRing, isWrong, theme.canvas, ratio].join();
  const known = marks.get(key);
  if (known) return known;
  const mark = document.createElement("canvas");
  mark.width = mark.height = MARK * ratio;
  const context = /** @type {CanvasRenderingContext2D} */ (mark.getContext("2d"));
  context.scale(ratio, ratio);
  context.translate(MARK / 2, MARK / 2);
  context.beginPath();
  context.arc(0, 0, RADIUS, 0, 2 * Math.PI);
  context.fillStyle = isRing ? theme.canvas : color;
  context.fill();
  context.lineWidth = isRing ? 2 : 1;
  context.strokeStyle = isRing ? color : theme.rim;
  context.stroke();
  if (isWrong) {
    context.beginPath();
    for (const slope of [1, -1]) {
      context.moveTo(-3.2, -3.2 * slope);
      context.lineTo(3.2, 3.2 * slope);
    }
    context.lineWidth = 1.4;
    context.strokeStyle = theme.cross;
    context.stroke();
  }
  marks.set(key, mark);
  return mark;
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {any} theme */
function drawMark(context, x, y, theme) {
  context.beginPath();
  context.arc(x, y, 5, 0, 2 * Math.PI);
  context.moveTo(x, y - 9);
  context.lineTo(x, y + 9);
  context.moveTo(x - 9, y);
  context.lineTo(x + 9, y);
  context.strokeStyle = theme.text;
  context.lineWidth = 1.5;
  context.stroke();
}

/** Draws the cursor of the keyboard: four strokes around the point that it would add, and a square while it holds one.
 * @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {any} theme */
function drawCursor(context, x, y, theme) {
  const { view, isDragging } = current();
  context.beginPath();
  for (const [across, up] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 7 * across, y + 7 * up);
    context.lineTo(x + 16 * across, y + 16 * up);
  }
  if (isDragging) context.rect(x - 7, y - 7, 14, 14);
  for (const [width, color] of /** @type {[number, string][]} */ ([[5, theme.canvas], [2, theme.text]])) {
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }
  if (isDragging || view.brush === "erase") return;
  context.beginPath();
  context.arc(x, y, RADIUS, 0, 2 * Math.PI);
  context.strokeStyle = classColors()[view.brush];
  context.stroke();
}

/** Draws the lattice where the last hidden layer maps it, each cell in the color of its region, and the points on it.
 * @param {CanvasRenderingContext2D} context @param {import("../state.js").Picture} picture @param {any} theme */
function drawWarped(context, picture, theme) {
  const { points, view } = current();
  const layer = Math.min(view.unit?.layer ?? picture.lattices.length - 1, picture.lattices.length - 1);
  const { shape: [height, width], values, window } = picture.lattices[layer];
  const place = plane(latticeWindow(values), size);
  const pixel = (/** @type {number} */ row, /** @type {number} */ column) => {
    const i = 2 * (row * width + column);
    return [place.toX(values[i]), place.toY(values[i + 1])];
  };
  const colors = classColors().map(rgbOf);
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      context.beginPath();
      [pixel(row, column), pixel(row, column + 1), pixel(row + 1, column + 1), pixel(row + 1, column)].forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x, y));
      context.closePath();
      const fill = mixed(rgbOf(theme.canvas), colors[labelNear(picture, (row + 0.5) / (height - 1), (column + 0.5) / (width - 1))], 0.3);
      context.fillStyle = `rgb(${fill})`;
      context.fill();
      context.strokeStyle = theme.lattice;
      context.lineWidth = 0.5;
      context.stroke();
    }
  }
  const onLattice = points.points.map((point) => {
    const row = Math.min(share(point[view.axes[1]], window.y_min, window.y_max) * (height - 1), height - 1.001);
    const column = Math.min(share(point[view.axes[0]], window.x_min, window.x_max) * (width - 1), width - 1.001);
    const [r, c] = [Math.floor(row), Math.floor(column)];
    const mix = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ s) => a + (b - a) * s;
    return [0, 1].map((k) => mix(mix(pixel(r, c)[k], pixel(r, c + 1)[k], column - c), mix(pixel(r + 1, c)[k], pixel(r + 1, c + 1)[k], column - c), row - r));
  });
  drawPoints(context, onLattice, theme);
}

/** The class of the plane's cell at a share of its height and width.
 * @param {import("../state.js").Picture} picture @param {number} row @param {number} column */
function labelNear({ kind, pair, plane: { shape, values } }, row, column) {
  const value = values[Math.round(row * (shape[0] - 1)) * shape[1] + Math.round(column * (shape[1] - 1))];
  return kind === "label" ? value : pair[Number(value > current().view.threshold)];
}

/** @param {Float32Array} values pairs */
function latticeWindow(values) {
  let [x_min, x_max, y_min, y_max] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < values.length; i += 2) {
    [x_min, x_max] = [Math.min(x_min, values[i]), Math.max(x_max, values[i])];
    [y_min, y_max] = [Math.min(y_min, values[i + 1]), Math.max(y_max, values[i + 1])];
  }
  const [dx, dy] = [0.05 * (x_max - x_min) || 1, 0.05 * (y_max - y_min) || 1];
  return { x_min: x_min - dx, x_max: x_max + dx, y_min: y_min - dy, y_max: y_max + dy };
}

/** A sentence that says what the canvas shows, for those who do not see it.
 * @param {import("../state.js").State} state */
export function summary({ picture, points, run, view, shownEpoch }) {
  if (run.live || (run.status === "training" && !picture)) return t("summary.training");
  if (!picture) return t("summary.nothing");
  // What is known of the points is about the last epoch.
  const isLast = shownEpoch === null || shownEpoch === run.epochs;
  const labels = points.probabilities ? labelsAt(points.probabilities, view.threshold) : points.predicted;
  const wrong = isLast ? labels?.filter((label, i) => label !== points.labels[i]).length : undefined;
  const accuracy = isLast && view.threshold === 0.5 ? run.metrics?.training_accuracy : null;
  return [
    picture.lines.length === 1 ? t("summary.line") : t("summary.lines", { lines: picture.lines.length }),
    accuracy == null ? "" : t("summary.accuracy", { accuracy: (100 * accuracy).toFixed(1) }),
    wrong === undefined ? "" : t("summary.wrong", { wrong, all: points.points.length }),
  ].join(" ");
}
