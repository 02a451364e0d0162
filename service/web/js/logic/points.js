/** Points as the page keeps them. */

const COLUMNS = ["points", "labels", "split", "predicted_labels", "probabilities"];

/** Where to begin pages of `size` points, so that `count` points are from everywhere: files are often sorted by class.
 * @param {number} total @param {number} count @param {number} size
 * @returns {number[]} */
export function spreadOffsets(total, count, size) {
  const pages = Math.min(Math.ceil(count / size), Math.ceil(total / size));
  const step = Math.max(size, (total - size) / Math.max(1, pages - 1));
  return Array.from({ length: pages }, (_, i) => Math.floor(i * step));
}

/** Several pages as one.
 * @param {any[]} pages
 * @returns {any} */
export function joined(pages) {
  const columns = COLUMNS.filter((name) => pages[0][name]);
  return { ...pages[0], ...Object.fromEntries(columns.map((name) => [name, pages.flatMap((page) => page[name])])) };
}

/** Points of an answer, in the page's order of the classes.
 * @param {any} answer @param {(string | number)[]} [classes] those of the page; without them, those of the answer
 * @returns {import("../state.js").Points} */
export function pointsOf(answer, classes = answer.classes) {
  const index = new Map(classes.map((label, i) => [label, i]));
  const indices = (/** @type {any[] | undefined} */ labels) => labels?.map((label) => index.get(label) ?? 0) ?? null;
  const columns = classes.map((label) => answer.classes.indexOf(label));
  return {
    points: answer.points,
    labels: indices(answer.labels) ?? [],
    classes,
    names: answer.feature_names ?? null,
    total: answer.n_points ?? answer.points.length,
    validation: answer.split?.map((/** @type {string} */ split) => split === "validation") ?? null,
    predicted: indices(answer.predicted_labels),
    probabilities: answer.probabilities?.map((/** @type {number[]} */ row) => columns.map((column) => row[column] ?? 0)) ?? null,
  };
}
