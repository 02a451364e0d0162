/** Points by keyboard: a cursor on the plane that adds, picks up, moves and erases points, and says what it does. */

import { add, canEdit, erase, move } from "./editing.js";
import { t } from "./i18n.js";
import { ARROWS, centre, LEAP, moved, STEP } from "./logic/cursor.js";
import { current, subscribe, update } from "./state.js";
import { pointAt, shownWindow } from "./view/plane_view.js";

/** The point that is picked up, and where it was.
 * @type {{index: number, from: number[]} | null} */
let held = null;

/** The point that the keys N and P chose last. */
let chosen = -1;

/** Where the cursor was when it was last hidden.
 * @type {import("./logic/cursor.js").Position | null} */
let last = null;

/** @type {(text: string) => void} */
let say = () => {};

/** Connects the keys to the canvas of the plane. The cursor is shown while the canvas has the focus, unless the pointer set the focus.
 * @param {HTMLElement} canvas
 * @param {(text: string) => void} sayText shows a text below the plane, which screen readers read aloud */
export function cursorKeys(canvas, sayText) {
  say = sayText;
  let isPointer = false;
  // Runs before the browser sets the focus.
  canvas.addEventListener("pointerdown", () => (isPointer = true, hide()), { capture: true });
  addEventListener("pointerup", () => (isPointer = false));
  canvas.addEventListener("focus", () => !isPointer && show());
  canvas.addEventListener("blur", hide);
  let { brush } = current().view;
  subscribe(({ view, cursor }, changed) => {
    if (!changed.has("view") || view.brush === brush) return;
    brush = view.brush;
    if (cursor) sayBrush();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !onKey(event)) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function show() {
  const window = shownWindow();
  if (!canEdit() || !window) return say(t("cursor.fixed"));
  update({ cursor: moved(last ?? centre(window), [0, 0], 0, window) });
  sayBrush();
}

function sayBrush() {
  const { view, points } = current();
  say(view.brush === "erase" ? t("cursor.erases") : t("cursor.adds", { label: points.classes[view.brush] }));
}

function hide() {
  drop();
  if (!current().cursor) return;
  last = current().cursor;
  update({ cursor: null });
  say("");
}

/** Handles a key.
 * @param {KeyboardEvent} event
 * @returns {boolean} whether the key has a function on the plane */
function onKey({ key, shiftKey }) {
  const { cursor } = current();
  const window = shownWindow();
  if (key === "Enter" && !cursor) return show(), true;
  if (!cursor || !window || !canEdit()) return false;
  if (key in ARROWS) moveTo(moved(cursor, ARROWS[key], shiftKey ? LEAP : STEP, window));
  else if (key === "Enter" || key === " ") press(cursor);
  else if (key === "Delete" || key === "Backspace") eraseAt(cursor);
  else if (key === "n" || key === "p") choose(key === "n" ? 1 : -1);
  else if (key === "Escape") held ? putBack() : hide();
  else return false;
  return true;
}

/** @param {import("./logic/cursor.js").Position} cursor */
function moveTo(cursor) {
  if (held) move(held.index, cursor);
  update({ cursor });
  const at = held ? -1 : pointAt(cursor);
  say(at < 0 ? "" : t("cursor.on", { point: nameOf(at) }));
}

/** Puts down the held point, or picks up or erases the point below the cursor, or adds one.
 * @param {import("./logic/cursor.js").Position} cursor */
function press(cursor) {
  const { view } = current();
  const at = pointAt(cursor);
  if (held) {
    const { index } = held;
    drop();
    say(t("cursor.put_down", { point: nameOf(index) }));
  } else if (view.brush === "erase") {
    eraseAt(cursor);
  } else if (at >= 0) {
    held = { index: at, from: current().points.points[at] };
    update({ isDragging: true, isPlaying: false });
    say(t("cursor.picked_up", { point: nameOf(at) }));
  } else {
    add(cursor, view.brush);
    const { points } = current();
    say(t("cursor.added", { point: nameOf(points.points.length - 1), count: points.points.length }));
  }
}

/** @param {import("./logic/cursor.js").Position} cursor */
function eraseAt(cursor) {
  const at = held ? held.index : pointAt(cursor);
  if (at < 0) return say(t("cursor.none"));
  const point = nameOf(at);
  erase(at);
  drop();
  say(t("cursor.erased", { point, count: current().points.points.length }));
}

/** Moves the cursor to the next or the previous point.
 * @param {number} places */
function choose(places) {
  const { points } = current().points;
  if (held || !points.length) return;
  chosen = (Math.max(chosen, places < 0 ? 0 : -1) + places + points.length) % points.length;
  const [x, y] = points[chosen];
  update({ cursor: { x, y } });
  say(t("cursor.on", { point: nameOf(chosen) }));
}

/** Puts down the held point where it is now. */
function drop() {
  if (!held) return;
  held = null;
  update({ isDragging: false });
}

/** Moves the held point back to where it was. */
function putBack() {
  const { index, from: [x, y] } = /** @type {NonNullable<typeof held>} */ (held);
  move(index, { x, y });
  update({ cursor: { x, y } });
  drop();
  say(t("cursor.put_down", { point: nameOf(index) }));
}

/** @param {number} index of a point @returns {string} its class and its place */
function nameOf(index) {
  const { points, labels, classes } = current().points;
  const [x, y] = points[index];
  return t("cursor.point", { label: classes[labels[index]], x: x.toFixed(2), y: y.toFixed(2) });
}
