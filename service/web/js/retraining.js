/** Trainings while points move: back to back, each on the points of its start. The plane shows the newest that is done. */

import * as api from "./api.js";
import { classOrder, trainingRequest } from "./logic/setup.js";
import { showPicture } from "./pictures.js";
import { showProblem } from "./problems.js";
import { current, update } from "./state.js";
import { adopt, cancelUnlessEnded } from "./training.js";

/** Trainings of moving points that take longer than this many seconds are not shown until the point rests. */
const PATIENCE_S = 5;

/** Seconds to wait for the end of a training before the page looks whether the point still moves. */
const LOOK_S = 0.3;

let isWanted = false;
let isLooping = false;
/** @type {Promise<void> | null} */
let picture = null;

/** Wants a training of the points as they are now. */
export function retrain() {
  isWanted = true;
  if (!isLooping) loop();
}

async function loop() {
  isLooping = true;
  while (isWanted && current().isDragging) {
    isWanted = false;
    const started = performance.now();
    const { setup, points } = current();
    try {
      const order = classOrder(setup.data, points);
      const job = await endOf(await api.train(trainingRequest(setup, points), LOOK_S), started);
      if (job.status !== "succeeded" || !current().isDragging) continue;
      adopt(job, order);
      // The next training starts while the picture of this one is on its way.
      await picture;
      picture = showPicture(true).then(() => update({ lag: performance.now() - started }));
    } catch (error) {
      showProblem(error);
      break;
    }
  }
  isLooping = false;
  update({ lag: 0 });
}

/** Waits for the end of a training while points move. One that nobody will see is cancelled: others wait for it.
 * @param {any} job @param {number} started when it was requested @returns {Promise<any>} the job */
async function endOf(job, started) {
  while (!job.finished_at && current().isDragging && performance.now() - started < 1000 * PATIENCE_S) job = await api.job(job.id, LOOK_S);
  if (!job.finished_at) await cancelUnlessEnded(job.id);
  return job;
}
