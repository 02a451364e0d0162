/** Trainings while points move: back to back, each on the points of its start. The plane shows the newest that is done. */

import * as api from "./api.js";
import { classOrder, trainingRequest } from "./logic/setup.js";
import { showPicture } from "./pictures.js";
import { showProblem } from "./problems.js";
import { current, update } from "./state.js";
import { adopt, endOf, LOOK_S } from "./training.js";

/** Trainings of moving points that take longer than this many seconds are not shown until the point rests. */
const PATIENCE_S = 5;

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
      const job = await endOf(await api.train(trainingRequest(setup, points), LOOK_S), () => current().isDragging && performance.now() - started < 1000 * PATIENCE_S);
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
