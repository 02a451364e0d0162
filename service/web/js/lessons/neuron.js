/** One neuron with one input, `a(w x + b)`, and its curve. */

/** @type {Record<"sigmoid" | "tanh" | "relu", (z: number) => number>} */
export const ACTIVATION = {
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  tanh: Math.tanh,
  relu: (z) => Math.max(0, z),
};

/** @typedef {keyof typeof ACTIVATION} ActivationName
 * @typedef {{weight: number, bias: number}} Neuron */

/** The part of the plane that is drawn. */
export const RANGE = { x_min: -4, x_max: 4, y_min: -1.4, y_max: 2.2 };
const STEPS = 160;

/** The output of a neuron.
 * @param {Neuron} neuron @param {ActivationName} activation @param {number} x */
export function outputAt({ weight, bias }, activation, x) {
  return ACTIVATION[activation](weight * x + bias);
}

/** Points of a function over the range. One of them is exactly where `w x + b` is 0, for the corner of the ReLU.
 * @param {Neuron} neuron @param {(x: number) => number} f
 * @returns {number[][]} (points, 2) */
export function curve(neuron, f) {
  const { x_min, x_max } = RANGE;
  const xs = Array.from({ length: STEPS + 1 }, (_, i) => x_min + ((x_max - x_min) * i) / STEPS);
  const corner = zeroOf(neuron);
  if (corner !== null && corner > x_min && corner < x_max) xs.push(corner);
  return xs.sort((one, other) => one - other).map((x) => [x, f(x)]);
}

/** Where the argument `w x + b` is 0; null if the weight is 0.
 * @param {Neuron} neuron
 * @returns {number | null} */
export function zeroOf({ weight, bias }) {
  // `0 - bias`, because -0 would be written with a sign.
  return weight === 0 ? null : (0 - bias) / weight;
}
