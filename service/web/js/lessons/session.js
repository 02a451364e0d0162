/** A visit to the lessons: what the viewer had before it comes back at its end. */

import { readPoints } from "../data.js";
import { fragmentOf, readFragment } from "../logic/link.js";
import { FIRST_VIEW } from "../logic/setup.js";
import { showProblem } from "../problems.js";
import { current, update } from "../state.js";
import { train } from "../training.js";
import { isSetUp, setupOf } from "./steps.js";

/** What the page showed before the first lesson was set up.
 * @type {Pick<import("../state.js").State, "setup" | "view" | "points" | "window"> | null} */
let own = null;

/** The fragment of the address before the lessons were opened; null while they are closed.
 * @type {string | null} */
let address = null;

/** Keeps the lesson in the address, so that it can be linked to. A setup in the address stays there.
 * @param {number} lesson */
export function enter(lesson) {
  const { setup, view } = readFragment(location.hash.slice(1));
  address ??= fragmentOf(setup, { ...view, drawer: null });
  write(fragmentOf(setup, { ...view, drawer: "lessons", lesson }));
}

/** Ends the visit: the page is again as it was before the first lesson was set up. */
export function leave() {
  if (address === null) return;
  write(address);
  address = null;
  const before = own;
  own = null;
  if (!before) return;
  const { response, threshold, axes, brush } = before.view;
  update({ setup: before.setup, points: before.points, window: before.window, view: { ...current().view, response, threshold, axes, brush } });
  readPoints().catch(showProblem);
}

/** Gives the page the setup of a lesson, which is trained thereby.
 * @param {import("./steps.js").Lesson} lesson */
export function setUp(lesson) {
  const { setup, view, points, window, run } = current();
  own ??= { setup, view, points, window };
  const isThere = isSetUp(setup, lesson);
  const { response, threshold, axes } = FIRST_VIEW;
  // The figures of the last training are not those of the lesson.
  update({ setup: setupOf(lesson), window: null, run: { ...run, status: "training" }, view: { ...view, response, threshold, axes, brush: 0 } });
  readPoints().catch(showProblem);
  // A setup that did not change is not trained by itself.
  if (isThere) train();
}

/** @param {string} fragment */
function write(fragment) {
  // Browsers limit how often a page may write its address.
  if (location.hash === (fragment && `#${fragment}`)) return;
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
}
