/** Stored versions on the plane, with the points and the setup that they were trained with. */

import * as api from "../../api.js";
import { t } from "../../i18n.js";
import { leftOut, measuredAxes, setupOfCard } from "./cards.js";
import { spacedEpochs } from "../../logic/epochs.js";
import { pointsOf } from "../../logic/points.js";
import { SNAPSHOTS } from "../../logic/setup.js";
import { showPicture } from "../../pictures.js";
import { current, update } from "../../state.js";
import { abandon } from "../../training.js";
import * as requests from "../requests.js";

/** Shows a stored version. The first change of the setup trains a new network.
 * @param {{model: string, version: number}} target */
export async function openVersion(target) {
  const { card } = await requests.version(target);
  if (card.n_features < 2) throw new api.Problem(422, { detail: t("models.one_feature") });
  const [read, history, isStored] = await Promise.all([readPoints(target, card), card.imported ? null : api.history(target), isStillStored(card)]);
  const setup = setupOfCard(isStored ? card : { ...card, data: null });
  const { view } = current();
  const settings = leftOut(card).join(", ");
  const notes = [...read.notes, ...(settings ? [t("models.left_out", { settings })] : [])];
  abandon();
  update({
    setup,
    points: read.points,
    view: { ...view, axes: measuredAxes(card), unit: null, brush: 0 },
    run: { ...runOf(target, card, history), warnings: [...card.warnings, ...notes] },
    window: null, shownEpoch: null, isPlaying: false, problem: null, file: null,
  });
  await showPicture();
}

/** @param {{model: string, version: number}} target @param {any} card @param {any} history
 * @returns {Omit<import("../../state.js").Run, "warnings">} */
function runOf(target, card, history) {
  const epochs = card.epochs_run ?? 0;
  return {
    status: "done", live: null, target, epoch: epochs, epochs, history, seconds: null,
    // The service repeats the training up to an epoch.
    snapshots: card.imported ? [] : spacedEpochs(SNAPSHOTS, epochs),
    // The networks of an ensemble have no common weights and maps.
    metrics: card.metrics, network: card.n_networks > 1 ? null : card.network, training: card.training,
    order: card.classes.map((/** @type {any} */ _, /** @type {number} */ k) => k),
  };
}

/** The points that a version was trained on, up to the number that the page shows.
 * @param {{model: string, version: number}} target @param {any} card
 * @returns {Promise<{points: import("../../state.js").Points, notes: string[]}>} */
async function readPoints(target, card) {
  if (card.imported) return { points: pointsOf({ points: [], labels: [], classes: card.classes, feature_names: card.feature_names }), notes: [] };
  const answer = await api.trainingPoints(target);
  const notes = answer.points.length < answer.n_points ? [t("models.part_of_points", { shown: answer.points.length, all: answer.n_points })] : [];
  return { points: pointsOf(answer), notes };
}

/** Whether the data of a version still exist: a stored dataset may have been replaced or deleted.
 * @param {any} card */
async function isStillStored({ data, data_digest }) {
  if (data?.type !== "stored") return true;
  try {
    return (await api.requestJson(`datasets/${encodeURIComponent(data.dataset)}`)).digest === data_digest;
  } catch (error) {
    if (error instanceof api.Problem && error.status === 404) return false;
    throw error;
  }
}
