/** A setup as the fragment of a link, and back. Only what differs from the first setup is written. */

import { FIRST_SETUP, FIRST_VIEW, MAX_CLASSES, MAX_LAYERS } from "./setup.js";

/** Longest fragment: some programs cut links at about 2,000 characters. */
export const MAX_LENGTH = 1900;

/** @typedef {import("./setup.js").Setup} Setup @typedef {import("./setup.js").View} View @typedef {import("./plane.js").Window} Window */

/** The fragment, without `#`. Drawn points have no place in it: store them as a dataset before.
 * @param {Setup} setup
 * @param {View} view
 * @param {Window | null} window of the plane; null for that of the points
 * @returns {string} */
export function fragmentOf(setup, view, window) {
  const pairs = [...differences("", setup, FIRST_SETUP), ...differences("view.", shown(view), shown(FIRST_VIEW))];
  if (window) pairs.push(["view.window", [window.x_min, window.x_max, window.y_min, window.y_max].join(",")]);
  return new URLSearchParams(pairs).toString();
}

/** The setup, the view and the window of a fragment. Fields that are missing, unknown or of another type stay as at the first visit.
 * @param {string} fragment without `#`
 * @returns {{setup: Setup, view: View, window: Window | null}} */
export function readFragment(fragment) {
  const fields = new URLSearchParams(fragment);
  const setup = merged("", FIRST_SETUP, fields);
  const dataset = fields.get("data.digest") && fields.get("data.dataset");
  if (dataset) setup.data = { type: "stored", dataset, digest: fields.get("data.digest") ?? "" };
  return { setup: bounded(setup), view: boundedView(merged("view.", FIRST_VIEW, fields)), window: windowOf(fields.get("view.window") ?? "") };
}

/** @param {string} text @returns {Window | null} */
function windowOf(text) {
  const [x_min, x_max, y_min, y_max] = text.split(",").map(Number);
  return x_min < x_max && y_min < y_max && [x_min, x_max, y_min, y_max].every(Number.isFinite) ? { x_min, x_max, y_min, y_max } : null;
}

/** A setup that the page can show. What only the service can judge stays as it is, so that the service says what is wrong.
 * @param {Setup} setup
 * @returns {Setup} */
function bounded(setup) {
  const { data, network } = setup;
  const hidden = network.hidden.slice(0, MAX_LAYERS);
  const isShown = data.type !== "generated" || (data.n_classes >= 2 && data.n_classes <= MAX_CLASSES);
  return { ...setup, data: isShown ? data : FIRST_SETUP.data, network: { ...network, hidden } };
}

/** A view with the usual value in place of each one that is out of bounds. Links do not choose the class of new points.
 * @param {View} view
 * @returns {View} */
function boundedView({ threshold, axes, ...others }) {
  const isPair = axes.length === 2 && axes[0] !== axes[1] && axes.every((axis) => axis >= 0);
  return {
    ...others,
    brush: FIRST_VIEW.brush,
    threshold: threshold > 0 && threshold < 1 ? threshold : FIRST_VIEW.threshold,
    axes: isPair ? axes : FIRST_VIEW.axes,
  };
}

/** @param {View} view @returns {Partial<View>} */
function shown({ response, threshold, axes, drawer, lesson }) {
  return { response, threshold, axes, drawer, lesson: drawer === "lessons" ? lesson : FIRST_VIEW.lesson };
}

/** @param {string} prefix @param {any} value @param {any} usual @returns {string[][]} */
function differences(prefix, value, usual) {
  return Object.entries(value).flatMap(([name, field]) => {
    const usually = usual?.[name];
    if (field && typeof field === "object" && !Array.isArray(field)) return differences(`${prefix}${name}.`, field, usually);
    const text = textOf(field);
    return text === textOf(usually) ? [] : [[prefix + name, text]];
  });
}

/** @param {any} value @returns {string} */
function textOf(value) {
  return value === null || value === undefined ? "" : Array.isArray(value) ? value.join(",") : String(value);
}

/** @param {string} prefix @param {any} usual @param {URLSearchParams} fields @returns {any} */
function merged(prefix, usual, fields) {
  return Object.fromEntries(
    Object.entries(usual).map(([name, value]) => {
      if (value && typeof value === "object" && !Array.isArray(value)) return [name, merged(`${prefix}${name}.`, value, fields)];
      const text = fields.get(prefix + name);
      return [name, text === null ? value : valueOf(text, value, name)];
    }),
  );
}

/** @param {string} text @param {any} usual @param {string} name */
function valueOf(text, usual, name) {
  const number = Number(text);
  if (Array.isArray(usual)) {
    const items = text === "" ? [] : text.split(",");
    return name === "inputs" ? items : items.map(Number).filter(Number.isInteger);
  }
  if (typeof usual === "number") return text !== "" && Number.isFinite(number) ? number : usual;
  if (name === "batch_size") return text !== "" && Number.isInteger(number) ? number : null;
  return text === "" && usual === null ? null : text;
}
