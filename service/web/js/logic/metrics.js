/** Figures of a network on labelled points. */

/** A share as text in percent; a dash if it is not known.
 * @param {number | null | undefined} share */
export function percent(share) {
  return share == null ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** Counts of points by class (rows) and by label given (columns).
 * @param {number[]} labels @param {number[]} given @param {number} classes
 * @returns {number[][]} */
export function confusion(labels, given, classes) {
  const counts = Array.from({ length: classes }, () => new Array(classes).fill(0));
  labels.forEach((label, i) => counts[label][given[i]]++);
  return counts;
}

/** The label that each point gets: of two classes by the threshold, of more the likeliest.
 * @param {number[][]} probabilities @param {number} threshold
 * @returns {number[]} */
export function labelsAt(probabilities, threshold) {
  return probabilities.map((row) => (row.length === 2 ? Number(row[1] > threshold) : row.indexOf(Math.max(...row))));
}

/** Recall of each class: its share that gets its own label; null for a class without points.
 * @param {number[][]} counts a confusion matrix
 * @returns {(number | null)[]} */
export function recalls(counts) {
  return counts.map((row, k) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return total ? row[k] / total : null;
  });
}

/** Share of points on the diagonal of a confusion matrix.
 * @param {number[][]} counts */
export function accuracy(counts) {
  const total = counts.flat().reduce((sum, count) => sum + count, 0);
  return total ? counts.reduce((sum, row, k) => sum + row[k], 0) / total : null;
}

/** The ROC curve of two classes: a corner for each distinct score, from the highest threshold to the lowest.
 * @param {number[]} labels 0 or 1 @param {number[]} scores probabilities of class 1
 * @returns {{fpr: number[], tpr: number[], threshold: number[], auc: number} | null} null if a class has no points */
export function rocCurve(labels, scores) {
  const positives = labels.filter((label) => label === 1).length;
  const negatives = labels.length - positives;
  if (!positives || !negatives) return null;
  const order = scores.map((_, i) => i).sort((i, j) => scores[j] - scores[i]);
  const curve = { fpr: [0], tpr: [0], threshold: [Infinity], auc: 0 };
  let trues = 0;
  let falses = 0;
  order.forEach((i, place) => {
    if (labels[i] === 1) trues++;
    else falses++;
    if (place + 1 < order.length && scores[order[place + 1]] === scores[i]) return;
    const fpr = falses / negatives;
    const tpr = trues / positives;
    const last = curve.fpr.length - 1;
    curve.auc += ((fpr - curve.fpr[last]) * (tpr + curve.tpr[last])) / 2;
    curve.fpr.push(fpr);
    curve.tpr.push(tpr);
    curve.threshold.push(scores[i]);
  });
  return curve;
}

/** The likeliest class of each cell, and how much likelier than chance it is.
 * @param {Float32Array} probabilities (classes, cells) @param {number} classes
 * @returns {{labels: Uint8Array, certainty: Float32Array}} the certainty from 0, all equally probable, to 1 */
export function likeliest(probabilities, classes) {
  const cells = probabilities.length / classes;
  const labels = new Uint8Array(cells);
  const certainty = new Float32Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    let best = 0;
    for (let k = 1; k < classes; k++) if (probabilities[k * cells + cell] > probabilities[best * cells + cell]) best = k;
    labels[cell] = best;
    certainty[cell] = (probabilities[best * cells + cell] - 1 / classes) / (1 - 1 / classes);
  }
  return { labels, certainty };
}

/** The entropy of two classes in bits: 1 where both are equally probable.
 * @param {number} p the probability of one of them */
export function entropyOf(p) {
  return [p, 1 - p].reduce((sum, share) => (share > 0 ? sum - share * Math.log2(share) : sum), 0);
}
