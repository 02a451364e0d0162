/** The cursor of the plane: how keys move it. */

/** @typedef {{x: number, y: number}} Position in data units */

/** The arrow keys, as directions on the plane.
 * @type {Record<string, [number, number]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Shares of the window that an arrow key moves the cursor, alone and with Shift. */
export const [STEP, LEAP] = [0.01, 0.1];

/** The position one step further, inside the window.
 * @param {Position} position @param {[number, number]} direction @param {number} share of the window
 * @param {import("./plane.js").Window} window
 * @returns {Position} */
export function moved({ x, y }, [across, up], share, { x_min, x_max, y_min, y_max }) {
  return {
    x: clamped(x + across * share * (x_max - x_min), x_min, x_max),
    y: clamped(y + up * share * (y_max - y_min), y_min, y_max),
  };
}

/** @param {import("./plane.js").Window} window @returns {Position} */
export function centre({ x_min, x_max, y_min, y_max }) {
  return { x: (x_min + x_max) / 2, y: (y_min + y_max) / 2 };
}

/** @param {number} value @param {number} least @param {number} most */
function clamped(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
