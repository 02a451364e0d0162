/** Trainings of the present setup: the newest counts, and its result becomes what the page shows. */

import * as api from "./api.js";
import { showProblem } from "./problems.js";
import { classOrder, MAX_LAYERS, MAX_UNITS, SNAPSHOTS, trainingRequest, withSnapshots } from "./logic/setup.js";
import { spacedEpochs } from "./logic/epochs.js";
import { pointsReady } from "./data.js";
import { pointsOf } from "./logic/points.js";
import { forgetPicture, networkRead, oneAtATime, readAhead, showFrame, showNewest, showPicture } from "./pictures.js";
import { current, update } from "./state.js";

/** Seconds to wait for the end of a training before it is followed live: short ones need one request. */
const PATIENCE_S = 0.3;

/** Queued trainings of this page replace each other. */
const GROUP = `playground-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;

/** What the page has before the first training.
 * @type {import("./state.js").Run} */
export const NO_RUN = {
  status: "none", live: null, target: null, epoch: 0, epochs: 0, snapshots: [], seconds: null, metrics: null, history: null,
  network: null, training: null, warnings: [], order: [0, 1],
};

/** Counts trainings. Answers to all but the newest are dropped. */
let newest = 0;

/** The job that runs, to be cancelled when the next one starts.
 * @type {string | null} */
let running = null;

/** @type {() => void} */
let stopFollowing = () => {};

/** Trains the present setup, and shows the result: from the start of the training if the page is playing then. */
export async function train() {
  const mine = ++newest;
  stopRunning();
  update({ run: { ...current().run, status: "training", live: null }, problem: null });
  try {
    await pointsReady();
    if (mine !== newest) return;
    const { setup, points } = current();
    const order = classOrder(setup.data, points);
    const body = withSnapshots(trainingRequest(setup, points));
    const job = await api.train({ ...body, supersede: GROUP }, PATIENCE_S);
    if (mine !== newest) return void (job.finished_at || cancelUnlessEnded(job.id));
    const best = bestSeed(job);
    if (best !== null) await showBest(body, best, order, mine);
    else if (job.finished_at) await finish(job, order, mine);
    else await followJob(job, body, order, mine);
  } catch (error) {
    if (mine === newest) fail(error);
  }
}

/** Cancels the training that runs when the page is left: others wait for it. */
export function cancelOnLeave() {
  addEventListener("pagehide", () => running && api.cancel(running, { keepalive: true }).catch(() => {}));
}

/** Pauses the training that is followed live, or resumes it. Its events tell when that has happened. */
export async function pauseOrResume() {
  const { run } = current();
  if (!running) return;
  const isPaused = run.live === "paused";
  update({ run: { ...run, live: isPaused ? "running" : "paused" }, problem: null });
  await networkRead();
  if (running) await api.control(running, isPaused ? "resume" : "pause").catch(showProblem);
}

/** Forgets the training and its network, because there are too few points for another one. */
export function forget() {
  abandon();
  update({ run: NO_RUN, shownEpoch: null, isPlaying: false });
  forgetPicture();
}

/** Cancels the training that runs. */
function stopRunning() {
  stopFollowing();
  if (running) cancelUnlessEnded(running);
  running = null;
}

/** Cancels the training that runs. Nothing of it is shown any more. */
export function abandon() {
  newest++;
  stopRunning();
}

/** The seed of the best of several networks: null for a job of one network, or one that has not succeeded.
 * @param {any} job
 * @returns {number | null} */
function bestSeed(job) {
  if (job.status !== "succeeded" || !(job.restart_results?.length > 1)) return null;
  const lossOf = (/** @type {any} */ { metrics }) => metrics?.validation_loss ?? metrics?.training_loss ?? Infinity;
  return job.restart_results.reduce((/** @type {any} */ best, /** @type {any} */ other) => (lossOf(other) < lossOf(best) ? other : best)).seed;
}

/** Trains the best of several networks once more by itself, which gives the same weights, so that its epochs can be shown.
 * @param {any} body the request of all @param {number} seed @param {number[]} order @param {number} mine */
async function showBest(body, seed, order, mine) {
  const request = withSnapshots({ ...body, training: { ...body.training, seed, restarts: 1 } });
  const job = await api.train(request, PATIENCE_S);
  if (mine !== newest) return;
  if (job.finished_at) await finish(job, order, mine);
  else await followJob(job, request, order, mine);
}

/** Seconds to wait for the end of a training before the page looks whether it is still wanted. */
export const LOOK_S = 0.3;

/** Waits for the end of a training while it is wanted. One that is not wanted any more is cancelled: others wait for it.
 * @param {any} job @param {() => boolean} isWanted @returns {Promise<any>} the job */
export async function endOf(job, isWanted) {
  while (!job.finished_at && isWanted()) job = await api.job(job.id, LOOK_S);
  if (!job.finished_at) await cancelUnlessEnded(job.id);
  return job;
}

/** Cancels a job, which may have ended since the last event of it.
 * @param {string} id */
async function cancelUnlessEnded(id) {
  try {
    if (!(await api.job(id)).finished_at) await api.cancel(id);
  } catch {
    // It ends by itself.
  }
}

/** Shows frames and figures of a longer training while it goes on, and then its result.
 * @param {any} job @param {any} body its request @param {number[]} order @param {number} mine */
async function followJob(job, body, order, mine) {
  running = job.id;
  const { points } = current();
  // Earlier epochs can be shown once the training has ended. What the network before said about the points is over.
  update({ run: { ...runOf(job, order), status: "training", live: "running", snapshots: [] }, shownEpoch: null, isPlaying: false, points: { ...points, predicted: null, probabilities: null } });
  const following = new AbortController();
  stopFollowing = () => following.abort();
  // Only points in the plane have frames.
  const hasFrames = points.points[0]?.length === 2;
  const frames = hasFrames ? { boundary: 96, ...(hasMaps(job.network) ? { layer: "all" } : {}) } : {};
  await api.follow(job.id, frames, {
    status: ({ status }) => update({ run: { ...current().run, live: status.startsWith("paus") ? "paused" : "running" } }),
    metrics: ({ epoch, epochs, metrics }) => {
      update({ run: { ...current().run, epoch, epochs, metrics } });
      showHistory();
      if (!hasFrames && current().run.live === "running") showNewest();
    },
    boundary: showFrame,
  }, following.signal);
  if (mine !== newest) return;
  running = null;
  const ended = await api.job(job.id);
  const best = bestSeed(ended);
  if (best !== null) await showBest(body, best, order, mine);
  else await finish(ended, order, mine);
}

/** Shows the loss and the accuracy of a running training so far. Of several networks only the last one has a chart. */
const showHistory = oneAtATime(async () => {
  const { target, training } = current().run;
  if (!target || training?.restarts > 1 || training?.ensemble > 1) return;
  const history = await api.history(target).catch(() => null);
  const { run } = current();
  if (history?.epoch.length && run.live && run.target === target) update({ run: { ...run, history } });
});

/** Whether frames have maps of all hidden units: of a network that the page could have, and that has some. @param {any} network */
function hasMaps(network) {
  const units = (network?.hidden ?? []).reduce((/** @type {number} */ sum, /** @type {number} */ width) => sum + width, 0);
  return units > 0 && units <= MAX_LAYERS * MAX_UNITS;
}

/** @param {any} job @param {number[]} order @param {number} mine */
async function finish(job, order, mine) {
  if (job.status === "failed") return fail(new api.Problem(422, job.problem));
  // An earlier request, which reached the service after this one, replaced it.
  if (job.status === "cancelled") return mine === newest ? train() : undefined;
  const run = runOf(job, order);
  const epochToShow = () => (current().isPlaying ? 0 : null);
  // The page is drawn once for the figures and the plane, and not while the service computes the plane.
  await readAhead(run, epochToShow());
  if (mine !== newest) return;
  update({ run, shownEpoch: epochToShow() });
  await showPicture();
  if (mine === newest) await readDetails(mine);
}

/** @param {unknown} error */
function fail(error) {
  update({ run: { ...current().run, status: "failed", live: null }, isPlaying: false });
  showProblem(error);
}

/** What the page keeps of a job.
 * @param {any} job @param {number[]} order
 * @returns {import("./state.js").Run} */
function runOf(job, order) {
  return {
    status: "done",
    live: null,
    target: { job: job.id },
    epoch: job.progress.epoch,
    epochs: job.progress.epoch,
    // The service repeats trainings whose settings it chose up to an epoch.
    snapshots: job.snapshots ?? spacedEpochs(SNAPSHOTS, job.progress.epoch),
    seconds: job.training_seconds,
    metrics: job.metrics,
    history: null,
    network: job.network,
    training: job.training,
    warnings: job.warnings ?? [],
    order,
  };
}

/** Shows a training that ended while points move: without its history, which nobody can read so fast.
 * @param {any} job @param {number[]} order */
export function adopt(job, order) {
  newest++;
  stopRunning();
  update({ run: { ...runOf(job, order), snapshots: [] }, shownEpoch: null });
}

/** @param {number[][]} some @param {number[][]} others */
function isEqual(some, others) {
  return some.length === others.length && some.every((point, i) => point.every((x, d) => x === others[i][d]));
}

/** Reads the history, and what the network says about its points.
 * @param {number} mine */
async function readDetails(mine) {
  const { target } = current().run;
  if (!target) return;
  const [history, points] = await Promise.all([api.history(target), api.trainingPoints(target)]);
  if (mine !== newest) return;
  const { points: shown } = current();
  const answers = pointsOf(points, shown.classes);
  // Points that are drawn stay the same objects: new ones would be trained again. Others are those of the training.
  const isSame = current().setup.data.type === "drawn" || isEqual(answers.points, shown.points);
  const { validation, predicted, probabilities } = answers;
  update({ run: { ...current().run, history }, points: isSame ? { ...shown, validation, predicted, probabilities } : answers });
}
