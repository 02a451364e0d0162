/** The state of the page, in one place. Whoever changes it calls `update`; whoever shows it subscribes. */

/** @typedef {import("./logic/setup.js").Setup} Setup */
/** @typedef {import("./logic/setup.js").View} View */

/** What is shown and where it comes from.
 * @typedef {{job: string} | {model: string, version: number}} Target
 * Points in the order of the data, with one label index each.
 * @typedef {{points: number[][], labels: number[], classes: (string | number)[], names: string[] | null,
 *            validation: boolean[] | null, predicted: number[] | null}} Points
 * A training and what is known of it.
 * @typedef {{status: "none" | "training" | "done" | "failed", target: Target | null, epoch: number, epochs: number,
 *            snapshots: number[], seconds: number | null, metrics: Record<string, number | null> | null,
 *            history: History | null, network: any, training: any, warnings: string[]}} Run
 * @typedef {{epoch: number[], training_loss: (number | null)[], training_accuracy: (number | null)[],
 *            validation_loss: (number | null)[], validation_accuracy: (number | null)[]}} History
 * @typedef {{setup: Setup, view: View, points: Points, run: Run, shownEpoch: number | null, isPlaying: boolean,
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
