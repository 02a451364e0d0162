/** The setup of a training, and the requests that follow from it. */

/** @typedef {{type: "generated", dataset: string, n: number, noise: number, seed: number, n_classes: number}
 *          | {type: "stored", dataset: string, digest: string}
 *          | {type: "drawn"}} Data
 * @typedef {{kind: string, hidden: number[], activation: string, inputs: string[], scale: "standard" | "none"}} Network
 * @typedef {{optimizer: string, learning_rate: number, batch_size: number | null, weight_decay: number, epochs: number,
 *            seed: number, restarts: number}} Training
 * What decides a training: the same setup gives the same weights.
 * @typedef {{data: Data, validation: number, preset: "auto" | "tutorial", network: Network, training: Training}} Setup
 * What is shown of it.
 * @typedef {{response: "probability" | "label" | "entropy" | "warped", threshold: number, axes: number[],
 *            unit: {layer: number, unit: number} | null, brush: number | "erase", drawer: string | null}} View
 */

/** The tutorial's third network, on its flower.
 * @type {Setup} */
export const FIRST_SETUP = {
  data: { type: "generated", dataset: "flower", n: 400, noise: 0.2, seed: 1, n_classes: 2 },
  validation: 0,
  preset: "tutorial",
  network: { kind: "sequential", hidden: [4], activation: "tanh", inputs: [], scale: "none" },
  training: { optimizer: "sgd", learning_rate: 1, batch_size: null, weight_decay: 0, epochs: 10000, seed: 0, restarts: 1 },
};

/** @type {View} */
export const FIRST_VIEW = { response: "probability", threshold: 0.5, axes: [0, 1], unit: null, brush: 0, drawer: null };
