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

/** The colors of the classes, in the order of the page. Those beyond the usual ones are named by the service.
 * @returns {string[]} */
export function classColors() {
  const named = current().picture?.plane.colors ?? [];
  return [...CLASS_COLORS, ...named.slice(CLASS_COLORS.length)];
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
