/** A visit to the lessons. At its end, the page is again as it was before. */

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

/** Ends the visit, and restores what the page showed before the first lesson was set up. A file that the user opened meanwhile stays. */
export function leave() {
  if (!isOpen) return;
  isOpen = false;
  writeAddress(null);
  const before = own;
  own = null;
  const { data } = current().setup;
  if (!before || (data.type === "stored" && data !== before.setup.data)) return;
  const isSame = JSON.stringify(before.setup) === JSON.stringify(current().setup);
  const { response, threshold, axes, brush } = before.view;
  update({ setup: before.setup, points: before.points, window: before.window, view: { ...current().view, response, threshold, axes, brush } });
  readPoints().catch(showProblem);
  // A changed setup starts a training by itself.
  if (isSame) showPicture();
}

/** Gives the page the setup of a lesson, and trains it.
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
  // An unchanged setup starts no training by itself.
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
