/** The tutorial's four networks on the present data. */

import * as api from "./api.js";
import { classOrder, trainingRequest, usualSettings, withKind } from "./logic/setup.js";
import { pictureOf } from "./pictures.js";
import { current } from "./state.js";
import { endOf, LOOK_S } from "./training.js";

export const COMPARED = ["logistic", "two_layer", "sequential", "module"];

/** Trains the present data by a kind of network with the tutorial's settings, and the width, seed and inputs of the page.
 * @param {string} kind one of `COMPARED`
 * @returns {Promise<{job: any, picture: import("./state.js").Picture} | null>} null if the data or the setup changed before the end */
export async function trainKind(kind) {
  const { setup, points, view, window } = current();
  const training = { ...setup.training, optimizer: "sgd", batch_size: null, weight_decay: 0, restarts: 1, ...usualSettings(kind, "sgd") };
  const network = withKind({ ...setup.network, activation: "tanh", hidden: setup.network.hidden.slice(0, 1) }, kind);
  const order = classOrder(setup.data, points);
  const isWanted = () => current().setup === setup && (setup.data.type !== "drawn" || current().points.points === points.points);
  const job = await endOf(await api.train(trainingRequest({ ...setup, preset: "tutorial", network, training }, points), LOOK_S), isWanted);
  if (!job.finished_at) return null;
  if (job.problem) throw new api.Problem(422, job.problem);
  const place = { axes: view.axes.join(","), ...(window ?? {}) };
  return { job, picture: await pictureOf({ job: job.id }, place, order) };
}
