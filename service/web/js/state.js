/** The state of the page, in one place. Whoever changes it calls `update`; whoever shows it subscribes. */

/** @typedef {import("./logic/setup.js").Setup} Setup */
/** @typedef {import("./logic/setup.js").View} View */

/** What is shown and where it comes from.
 * @typedef {{job: string} | {model: string, version: number}} Target
 * Points in the order of the data, with one label index each.
 * `total` counts all points of the data: the page shows some of very many.
 * @typedef {{points: number[][], labels: number[], classes: (string | number)[], names: string[] | null, total: number,
 *            validation: boolean[] | null, predicted: number[] | null, probabilities: number[][] | null}} Points
 * What a network looks like at an epoch: values over the plane, the boundary, maps of the units of each hidden layer
 * (units, height, width), where each hidden layer maps a lattice (height, width, 2), and the weights.
 * Of two classes, a probability is that of the second of `pair`; a label is an index into the classes of the page.
 * @typedef {{kind: string, pair: number[], plane: Grid, lines: number[][][], units: Grid[], lattices: Grid[],
 *            network: ReturnType<typeof import("./logic/network.js").denseLayers> | null, epoch: number}} Picture
 * @typedef {{shape: number[], values: any, certainty?: Float32Array, window: import("./logic/plane.js").Window, colors: string[]}} Grid
 * A training and what is known of it. `live` says whether it is followed while it runs, or is paused. `order` has the page's
 * index of each class of the network.
 * @typedef {{status: "none" | "training" | "done" | "failed", live: "running" | "paused" | null, target: Target | null, epoch: number, epochs: number,
 *            snapshots: number[], seconds: number | null, metrics: Record<string, number | null> | null,
 *            history: History | null, network: any, training: any, warnings: string[],
 *            order: number[]}} Run
 * @typedef {{epoch: number[], training_loss: (number | null)[], training_accuracy: (number | null)[],
 *            validation_loss: (number | null)[] | null, validation_accuracy: (number | null)[] | null}} History
 * `cursor` is that of the keyboard, in data units. `file` was refused. `lag` is how many milliseconds the plane is behind a moving point. Where `shownEpoch` is null, the newest epoch is shown; where `window` is null, the service chooses it.
 * @typedef {{setup: Setup, view: View, points: Points, run: Run, picture: Picture | null, shownEpoch: number | null, isPlaying: boolean,
 *            window: import("./logic/plane.js").Window | null, datasets: any[], file: File | null, isDragging: boolean, lag: number,
 *            cursor: import("./logic/cursor.js").Position | null,
 *            problem: {field: string | null, text: string} | null, offlineSince: Date | null}} State
 */

/** @typedef {(state: State, changed: Set<keyof State>) => void} Listener */

/** @type {State} */
let state;

/** @type {Listener[]} */
const listeners = [];

/** Sets the first state. Must be called before anything else of this module.
 * @param {State} first */
export function start(first) {
  state = first;
}

/** @returns {Readonly<State>} */
export function current() {
  return state;
}

/** Replaces fields of the state, and tells all listeners which.
 * @param {Partial<State>} changes */
export function update(changes) {
  state = { ...state, ...changes };
  const changed = new Set(/** @type {(keyof State)[]} */ (Object.keys(changes)));
  for (const listener of listeners) listener(state, changed);
}

/** Calls the listener at every later change.
 * @param {Listener} listener */
export function subscribe(listener) {
  listeners.push(listener);
}
