/** Epochs on a logarithmic axis that starts at 0: the axis of the chart and of the slider. */

/** Where an epoch lies between 0 and the last one.
 * @param {number} epoch @param {number} last
 * @returns {number} 0 to 1 */
export function placeOf(epoch, last) {
  return last > 0 ? Math.log1p(epoch) / Math.log1p(last) : 1;
}

/** The index of the kept epoch that is nearest to a place on the axis.
 * @param {number[]} kept in ascending order, not empty
 * @param {number} place 0 to 1
 * @param {number} last
 * @returns {number} */
export function nearestKept(kept, place, last) {
  let best = 0;
  kept.forEach((epoch, i) => {
    if (Math.abs(placeOf(epoch, last) - place) < Math.abs(placeOf(kept[best], last) - place)) best = i;
  });
  return best;
}

/** Epochs to label on the axis: 0, 1, 10, 100 ... and the last one, without those too near to it.
 * @param {number} last
 * @returns {number[]} */
export function epochTicks(last) {
  const ticks = [0];
  for (let epoch = 1; placeOf(epoch, last) < 0.88; epoch *= 10) ticks.push(epoch);
  return [...ticks, last];
}

/** About `count` epochs from 0 to the last one, evenly on the axis.
 * @param {number} count @param {number} last
 * @returns {number[]} */
export function spacedEpochs(count, last) {
  const epochs = Array.from({ length: count }, (_, i) => Math.round(Math.expm1((i / (count - 1)) * Math.log1p(last))));
  return [...new Set(epochs)];
}
