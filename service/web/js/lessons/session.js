/** A visit to the lessons: what the viewer had before it comes back at its end. */

import { readPoints } from "../data.js";
import { FIRST_VIEW } from "../logic/setup.js";
import { showPicture } from "../pictures.js";
import { showProblem } from "../problems.js";
import { current, update } from "../state.js";
import { train } from "../training.js";
import { isSetUp, setupOf, withLesson } from "./steps.js";

/** What the page showed before the first lesson was set up.
 * @type {Pick<import("../state.js").State, "setup" | "view" | "points" | "window"> | null} */
let own = null;

let isOpen = false;

/** Keeps the lesson in the address, so that it can be linked to.
 * @param {number} lesson */
export function enter(lesson) {
  isOpen = true;
  writeAddress(lesson);
}

/** Ends the visit: the page is again as it was before the first lesson was set up. */
export function leave() {
  if (!isOpen) return;
  isOpen = false;
  writeAddress(null);
  const before = own;
  own = null;
  if (!before) return;
  const isSame = JSON.stringify(before.setup) === JSON.stringify(current().setup);
  const { response, threshold, axes, brush } = before.view;
  update({ setup: before.setup, points: before.points, window: before.window, view: { ...current().view, response, threshold, axes, brush } });
  readPoints().catch(showProblem);
  // Another setup is trained by itself, and then shown.
  if (isSame) showPicture();
}

/** Gives the page the setup of a lesson, which is trained thereby.
 * @param {import("./steps.js").Lesson} lesson */
export function setUp(lesson) {
  const { setup, view, points, window, run } = current();
  own ??= { setup, view, points, window };
  const isThere = isSetUp(setup, lesson);
  const { response, threshold, axes } = FIRST_VIEW;
  // The figures of the last training are not those of the lesson.
  update({ run: { ...run, status: "training" } });
  update({ setup: setupOf(lesson), window: null, view: { ...view, response, threshold, axes, brush: 0 } });
  readPoints().catch(showProblem);
  // A setup that did not change is not trained by itself.
  if (isThere) train();
}

/** @param {number | null} lesson */
function writeAddress(lesson) {
  const before = location.hash.slice(1);
  const fragment = withLesson(before, lesson);
  // Browsers limit how often a page may write its address.
  if (fragment === before) return;
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
}
