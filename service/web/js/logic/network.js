/** The layers of a network as the diagram shows them, with the names that the tutorial gives them. */

/** A layer of units: `weight[unit][input]`, whatever order the network stores.
 * @typedef {{weight: number[][], bias: number[], stored: Parameter[], rowName: (unit: number) => string,
 *            linkName: (unit: number, input: number) => string, biasName: (unit: number) => string}} Dense */

/** An array as the network stores it.
 * @typedef {{name: string, shape: number[], values: any}} Parameter */

/** The layers of units, hidden ones first, and of a residual network the layer beside them.
 * @param {any} layers the answer of `/layers`
 * @returns {{dense: Dense[], shortcut: Dense | null, text: string, parameters: number}} */
export function denseLayers(layers) {
  const dense = layers.layers.filter((/** @type {any} */ layer) => layer.weight?.values).map(denseLayer);
  const isResidual = layers.text.startsWith("Residual");
  const { text, n_parameters: parameters } = layers;
  return { dense: isResidual ? dense.slice(1) : dense, shortcut: isResidual ? dense[0] : null, text, parameters };
}

/** @param {any} layer @returns {Dense} */
function denseLayer(layer) {
  const [key, biasKey] = [layer.weight.key, layer.bias.key];
  // `w1` of the network by hand is (inputs, units); `weight` of torch is (units, inputs).
  const isByHand = !key.includes(".");
  const weight = isByHand ? transposed(layer.weight.values) : layer.weight.values;
  const name = isByHand ? key : pythonName(key);
  const biasName = isByHand ? biasKey : pythonName(biasKey);
  return {
    weight,
    bias: layer.bias.values,
    stored: [{ name, shape: layer.weight.shape, values: layer.weight.values }, { name: biasName, shape: layer.bias.shape, values: layer.bias.values }],
    rowName: (unit) => (isByHand ? `${name}[:, ${unit}]` : `${name}[${unit}]`),
    linkName: (unit, input) => (isByHand ? `${name}[${input}, ${unit}]` : `${name}[${unit}, ${input}]`),
    biasName: (unit) => `${biasName}[${unit}]`,
  };
}

/** How Python names a parameter of the network `net`.
 * @param {string} key such as `layer2.0.weight`
 * @returns {string} such as `net.layer2[0].weight` */
export function pythonName(key) {
  return key.split(".").reduce((name, part) => name + (/^\d+$/.test(part) ? `[${part}]` : `.${part}`), "net");
}

/** @param {number[][]} rows */
function transposed(rows) {
  return rows[0].map((_, column) => rows.map((row) => row[column]));
}

/** The network with one unit or layer more or less. A logistic network with a hidden layer is a sequential one, and so is
 * a network by hand with two.
 * @param {import("./setup.js").Network} network
 * @param {number[]} hidden
 * @returns {import("./setup.js").Network} */
export function withHidden(network, hidden) {
  const { kind } = network;
  if (!hidden.length) return { ...network, kind: "logistic", hidden };
  const isTooSmall = kind === "logistic" || (kind === "two_layer" && hidden.length > 1);
  return { ...network, kind: isTooSmall ? "sequential" : kind, hidden };
}
