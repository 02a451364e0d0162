/** Adds, moves and erases points on the plane by pointer, and trains meanwhile. */

import { canTrain, hasAll, setPoints } from "./data.js";
import { current, update } from "./state.js";
import { pointAt, positionOf } from "./view/plane_view.js";
import { retrain } from "./retraining.js";

/** Connects a canvas of the plane.
 * @param {HTMLElement} canvas */
export function editing(canvas) {
  /** The point that is dragged; -1 while the eraser is down; null without a pointer.
   * @type {number | null} */
  let dragged = null;

  canvas.addEventListener("pointerdown", (event) => {
    const position = positionOf(event);
    const { view } = current();
    if (!position || event.button !== 0 || !canEdit() || !hasAll()) return;
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    update({ isDragging: true, isPlaying: false });
    const at = pointAt(position);
    if (view.brush === "erase") {
      dragged = -1;
      if (at >= 0) erase(at);
    } else if (at >= 0) {
      dragged = at;
    } else {
      dragged = current().points.points.length;
      add(position, view.brush);
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const position = positionOf(event);
    if (dragged === null || !position) return;
    if (dragged === -1) {
      const at = pointAt(position);
      if (at >= 0) erase(at);
    } else move(dragged, position);
  });

  const end = () => {
    if (dragged === null) return;
    dragged = null;
    update({ isDragging: false });
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("lostpointercapture", end);
}

/** Whether the plane shows points as they are: in two dimensions, and not warped. */
export function canEdit() {
  const { view, points } = current();
  return view.response !== "warped" && (points.points[0]?.length ?? 2) === 2;
}

/** @param {{x: number, y: number}} position @param {number} label an index into the classes */
export function add({ x, y }, label) {
  const { points } = current();
  change({ ...points, points: [...points.points, [x, y]], labels: [...points.labels, label] });
}

/** @param {number} index @param {{x: number, y: number}} position */
export function move(index, { x, y }) {
  const { points } = current();
  change({ ...points, points: points.points.with(index, [x, y]) });
}

/** @param {number} index */
export function erase(index) {
  const { points } = current();
  change({ ...points, points: points.points.toSpliced(index, 1), labels: points.labels.toSpliced(index, 1) });
}

/** @param {import("./state.js").Points} points */
function change(points) {
  if (!hasAll()) return;
  setPoints(points);
  // A change without dragging is trained like any other change of the setup.
  if (current().isDragging && canTrain()) retrain();
}
