/** Colors of the page in the present theme. The style sheet has them as custom properties. */

import { CLASS_COLORS } from "./logic/colors.js";
import { current } from "./state.js";

/** @type {Record<string, string> | null} */
let colors = null;

/** @returns {any} the colors by name, `#rrggbb` */
export function themeColors() {
  if (!colors) {
    const style = getComputedStyle(document.documentElement);
    const names = ["canvas", "text", "muted", "faint", "line", "rim", "cross", "positive", "negative", "entropy", "lattice", "accent"];
    colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colors;
}

/** Reads the colors again at their next use. */
function forgetColors() {
  colors = null;
}

/** The colors of the classes, in the order of the page. Those beyond the usual ones come with a picture of the service; until then,
 * the usual ones repeat.
 * @returns {string[]} */
export function classColors() {
  const { picture, points } = current();
  const named = picture?.plane.colors ?? [];
  const count = Math.max(CLASS_COLORS.length, named.length, points.classes.length);
  return Array.from({ length: count }, (_, k) => CLASS_COLORS[k] ?? named[k] ?? CLASS_COLORS[k % CLASS_COLORS.length]);
}

/** Follows a choice of `auto`, `light` or `dark`. @param {string} theme */
export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  forgetColors();
}

/** @returns {boolean} */
export function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}
