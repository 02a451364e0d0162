/** Points as the page keeps them. */

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
    validation: answer.split?.map((/** @type {string} */ split) => split === "validation") ?? null,
    predicted: indices(answer.predicted_labels),
    probabilities: answer.probabilities?.map((/** @type {number[]} */ row) => columns.map((column) => row[column] ?? 0)) ?? null,
  };
}
