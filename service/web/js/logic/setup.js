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
 *            unit: {layer: number, unit: number} | null, brush: number | "erase", drawer: string | null, lesson: number}} View
 */

export const KINDS = ["logistic", "two_layer", "sequential", "module", "residual"];
export const ACTIVATIONS = ["tanh", "relu", "leaky_relu", "elu", "silu", "gelu", "softplus", "sigmoid", "identity"];
export const OPTIMIZERS = ["sgd", "adam", "lbfgs"];
export const INPUTS = ["x", "y", "x^2", "y^2", "x*y", "sin x", "sin y"];
export const MAX_LAYERS = 6;
export const MAX_UNITS = 16;
export const MAX_CLASSES = 8;

/** Points that are shown at most: all of larger datasets take part in the training. */
export const SHOWN_POINTS = 3000;

/** How many moments of a training are kept for the epoch slider and for playing it. */
export const SNAPSHOTS = 60;

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
export const FIRST_VIEW = { response: "probability", threshold: 0.5, axes: [0, 1], unit: null, brush: 0, drawer: null, lesson: 1 };

/** The settings with which the tutorial trains each kind of network.
 * @param {string} kind
 * @param {string} optimizer
 * @returns {Pick<Training, "learning_rate" | "epochs">} */
export function usualSettings(kind, optimizer) {
  if (optimizer === "lbfgs") return { learning_rate: 1, epochs: 500 };
  if (optimizer === "adam") return { learning_rate: 0.01, epochs: kind === "logistic" ? 100 : 10000 };
  return kind === "logistic" ? { learning_rate: 0.1, epochs: 100 } : { learning_rate: 1, epochs: 10000 };
}

/** The network with another kind, and with as many hidden layers as that kind allows.
 * @param {Network} network
 * @param {string} kind
 * @returns {Network} */
export function withKind(network, kind) {
  const hidden = network.hidden.length ? network.hidden : [4];
  if (kind === "logistic") return { ...network, kind, hidden: [] };
  return { ...network, kind, hidden: kind === "two_layer" ? hidden.slice(0, 1) : hidden };
}

/** The body of `POST /train` for an unpublished training of a setup.
 * @param {Setup} setup
 * @param {import("../state.js").Points} points sent along if they are drawn
 * @returns {any} */
export function trainingRequest(setup, points) {
  const body = {
    data: dataOf(setup.data, points),
    publish: false,
    preset: setup.preset,
    /** @type {any} */
    training: { seed: setup.training.seed },
  };
  if (setup.validation > 0) body.training.validation_fraction = setup.validation;
  if (setup.preset === "auto") return body;
  return { ...body, network: networkOf(setup.network), training: { ...body.training, ...trainingOf(setup.training) } };
}

/** The page's index of each class of the network. The service knows only classes that have points, and sorts them.
 * @param {Data} data @param {import("../state.js").Points} points
 * @returns {number[]} */
export function classOrder(data, points) {
  if (data.type === "generated") return [...Array(data.n_classes).keys()];
  const order = [...points.classes.keys()];
  if (data.type === "stored") return order;
  const used = new Set(points.labels);
  const compare = (/** @type {any} */ one, /** @type {any} */ other) => (one < other ? -1 : Number(one > other));
  return order.filter((k) => used.has(k)).sort((i, j) => compare(points.classes[i], points.classes[j]));
}

/** Asks the service to keep weights of `SNAPSHOTS` epochs, where it does that: of one network with known settings.
 * @param {any} request of `trainingRequest`
 * @returns {any} */
export function withSnapshots(request) {
  if (request.preset === "auto" || request.training.restarts > 1) return request;
  return { ...request, training: { ...request.training, snapshots: SNAPSHOTS } };
}

/** @param {Data} data @param {import("../state.js").Points} points */
function dataOf(data, points) {
  if (data.type === "generated") {
    const { dataset, n, noise, seed, n_classes } = data;
    return { dataset, n, noise, seed, n_classes };
  }
  if (data.type === "stored") return { dataset: data.dataset };
  const labels = points.labels.map((label) => points.classes[label]);
  return { points: points.points, labels, ...(points.names ? { feature_names: points.names } : {}) };
}

/** @param {Network} network */
function networkOf({ kind, hidden, activation, inputs, scale }) {
  return { kind, hidden, activation, scale, ...(inputs.length ? { inputs } : {}) };
}

/** @param {Training} training */
function trainingOf({ optimizer, learning_rate, batch_size, weight_decay, epochs, restarts }) {
  const settings = { optimizer, weight_decay, epochs, restarts };
  if (optimizer === "lbfgs") return settings;
  return { ...settings, learning_rate, ...(batch_size ? { batch_size } : {}) };
}
