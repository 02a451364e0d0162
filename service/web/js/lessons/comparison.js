/** What two networks say about the same points. */

/** @typedef {{labels: (string | number)[], probabilities: number[][]}} Answer of `/predict` */

/** The number of equal labels, and the greatest difference between probabilities.
 * @param {Answer} one @param {Answer} other about the same points
 * @returns {{same: number, all: number, difference: number}} */
export function compared(one, other) {
  const differences = one.probabilities.flatMap((row, i) => row.map((p, k) => Math.abs(p - other.probabilities[i][k])));
  return {
    same: one.labels.filter((label, i) => label === other.labels[i]).length,
    all: one.labels.length,
    difference: differences.reduce((most, difference) => Math.max(most, difference), 0),
  };
}
