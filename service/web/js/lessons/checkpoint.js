/** Saves the network of the page to a file, and loads it again. */

import * as api from "../api.js";
import { showPicture } from "../pictures.js";
import { current, update } from "../state.js";
import { compared } from "./comparison.js";

/** The model whose versions are the loaded files. */
export const LOADED_MODEL = "lesson-network";

/** The weights of the network that is shown, as a file; null if there is no network yet.
 * @returns {Promise<Blob | null>} */
export async function savedNetwork() {
  const { target } = current().run;
  return target ? api.stateDict(target) : null;
}

/** Publishes a file as a version, shows that version, and compares it with the network shown before on all points.
 * @param {Blob} file of a network that is built like the one that is shown
 * @returns {Promise<{version: number, same: number, all: number, difference: number} | null>} null if there is no network, or if the page shows another one by then */
export async function openFile(file) {
  const { run, points, setup } = current();
  if (!run.target) return null;
  const columns = [0, 1].map((axis) => points.points.map((point) => point[axis]));
  const { version } = await api.publishFile(LOADED_MODEL, file, {
    // A state dict has the parameters only. The page knows the rest.
    activation: setup.network.activation,
    classes: points.classes.join(","),
    data_min: columns.map((column) => Math.min(...column)).join(","),
    data_max: columns.map((column) => Math.max(...column)).join(","),
  });
  const target = { model: LOADED_MODEL, version };
  const [saved, loaded] = await Promise.all([run.target, target].map((each) => api.predict(each, points.points, ["labels", "probabilities"])));
  if (current().run !== run) return null;
  const right = points.labels.filter((label, i) => points.classes[label] === loaded.labels[i]).length;
  // The file does not say how the network was trained.
  const unknown = { snapshots: [], seconds: null, history: null };
  update({ run: { ...run, ...unknown, target, metrics: { training_accuracy: right / points.points.length } }, shownEpoch: null });
  await showPicture();
  return { version, ...compared(saved, loaded) };
}
