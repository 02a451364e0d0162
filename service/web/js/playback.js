/** Playing a training from the epochs that the service kept of it. */

import { canTrain } from "./data.js";
import { t } from "./i18n.js";
import { nearestKept } from "./logic/epochs.js";
import { showPicture } from "./pictures.js";
import { current, subscribe, update } from "./state.js";
import { pauseOrResume, train } from "./training.js";

/** Milliseconds for which each epoch is shown. */
const FRAME_MS = 60;

/** Plays or pauses: the training itself if it is followed live, else its saved epochs. */
export function playOrPause() {
  const { run, isPlaying } = current();
  if (run.live) pauseOrResume();
  else if (isPlaying) pause();
  else play();
}

/** Plays on from the epoch that is shown, or from the start if that is the last one. Trains first if nothing is kept. A training
 * that has just begun is played once it has ended. */
function play() {
  const { run } = current();
  if (run.status === "training") return update({ isPlaying: true });
  if (!canTrain()) return update({ problem: { field: null, text: t("data.too_few") } });
  if (!run.snapshots.length) {
    update({ isPlaying: true });
    return void train();
  }
  const isAtEnd = place() === run.snapshots.length - 1;
  update({ isPlaying: true, shownEpoch: isAtEnd ? run.snapshots[0] : current().shownEpoch });
}

export function pause() {
  update({ isPlaying: false });
}

/** Shows the kept epoch that many places later, or earlier.
 * @param {number} places */
export function step(places) {
  const { run } = current();
  if (!run.snapshots.length) return;
  pause();
  const next = Math.min(Math.max(place() + places, 0), run.snapshots.length - 1);
  showEpoch(run.snapshots[next]);
}

/** Shows the weights before the first epoch. */
export function reset() {
  step(-Infinity);
}

/** Shows a kept epoch.
 * @param {number} epoch */
export function showEpoch(epoch) {
  update({ shownEpoch: epoch });
  return showPicture();
}

/** The place of the shown epoch among the kept ones. */
function place() {
  const { run, shownEpoch } = current();
  return shownEpoch === null ? run.snapshots.length - 1 : nearestKept(run.snapshots, Math.log1p(shownEpoch) / Math.log1p(run.epochs), run.epochs);
}

/** Plays whenever the state says so: a training that replaces one that is played is played too. */
export function mountPlayback() {
  subscribe(({ isPlaying }, changed) => changed.has("isPlaying") && isPlaying && playOn());
}

let isLooping = false;

async function playOn() {
  if (isLooping) return;
  isLooping = true;
  while (current().isPlaying) {
    const { run } = current();
    const due = performance.now() + FRAME_MS;
    if (run.status !== "training") await showPicture();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    if (!current().isPlaying || current().run !== run || run.status === "training") continue;
    const next = place() + 1;
    if (next >= run.snapshots.length) update({ isPlaying: false, shownEpoch: null });
    else update({ shownEpoch: run.snapshots[next] });
  }
  isLooping = false;
  await showPicture();
}
