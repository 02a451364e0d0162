/** Prepares a comparison of two versions for the page. */

/** @typedef {{axes: number[], at: number[], window: import("../../logic/plane.js").Window, shape: number[]}} ComparedWindow */

/** The query for a picture of one of the versions in the window of a comparison.
 * @param {ComparedWindow} compared whose axes and fixed values are in the order of the features of `a`
 * @param {string[] | null} names of the features of `a` @param {string[] | null} own names of the version, perhaps in another order
 * @returns {Record<string, any>} */
export function sameWindow({ axes, at, window, shape }, names, own) {
  // Versions without names have their features in the same order.
  const place = (/** @type {number} */ i) => (names && own ? own.indexOf(names[i]) : i);
  const fixed = [...Array(axes.length + at.length).keys()].filter((i) => !axes.includes(i));
  const values = fixed.map((i, k) => ({ i: place(i), value: at[k] })).sort((one, other) => one.i - other.i).map(({ value }) => value);
  return {
    ...window,
    resolution: Math.max(...shape),
    axes: axes.map(place).join(),
    at: values.length ? values.join() : undefined,
  };
}

/** Figures of both versions side by side: key, `a`, `b`. Those that neither has are left out.
 * @param {any} a @param {any} b metrics, or null
 * @returns {[string, number | null, number | null][]} */
export function sideBySide(a, b) {
  const keys = ["training_accuracy", "training_loss", "validation_accuracy", "validation_loss", "accuracy", "log_loss"];
  return keys.map((key) => /** @type {[string, number | null, number | null]} */ ([key, a?.[key] ?? null, b?.[key] ?? null])).filter(([, one, other]) => one !== null || other !== null);
}

/** Where points lie in a window, in shares of its width and height from the left and from the top. Those outside are left out.
 * @param {number[][]} points @param {ComparedWindow} compared
 * @returns {[number, number][]} */
export function marks(points, { axes: [across, up], window: { x_min, x_max, y_min, y_max } }) {
  if (up === undefined) return [];
  return points.map((point) => /** @type {[number, number]} */ ([(point[across] - x_min) / (x_max - x_min), (y_max - point[up]) / (y_max - y_min)])).filter((place) => place.every((share) => share >= 0 && share <= 1));
}

/** Texts that name versions: each model alone, with its newest and its aliased versions, and with its aliases.
 * @param {{name: string, newest_version: number, aliases: Record<string, number>}[]} models
 * @returns {string[]} */
export function references(models) {
  return models.flatMap(({ name, newest_version, aliases }) => {
    const versions = new Set([newest_version, ...Object.values(aliases)]);
    return [name, ...[...versions, ...Object.keys(aliases)].map((version) => `${name}:${version}`)];
  });
}
