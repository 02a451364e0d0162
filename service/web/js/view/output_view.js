/** The panel of the output: the view, the plane, what is below the pointer, the threshold, and the chart. */

import * as api from "../api.js";
import { h, svg } from "../dom.js";
import { t } from "../i18n.js";
import { cursorKeys } from "../cursor.js";
import { canTrain } from "../data.js";
import { editing } from "../editing.js";
import { percent } from "../logic/metrics.js";
import { moveBoundary, showPicture } from "../pictures.js";
import { current, subscribe, update } from "../state.js";
import { chartView } from "./chart_view.js";
import { labelled, segments, slider } from "./controls.js";
import { markNearest, planeView, positionOf, schedule, summary } from "./plane_view.js";

/** Milliseconds between questions about the point below the pointer. */
const HOVER_MS = 60;

/** @param {HTMLElement} root */
export function mountOutput(root) {
  const view = segments(["probability", "label", "entropy", "warped"], "view", (response) => {
    update({ view: { ...current().view, response: /** @type {any} */ (response) } });
    showPicture();
  });
  const canvas = planeView();
  const threshold = slider({ min: 0.01, max: 0.99, step: 0.01 }, moveThreshold, (value) => value.toFixed(2));
  const thresholdRow = labelled("view.threshold", threshold.element, { field: "threshold" });
  const readout = h("output", { class: "readout" });
  const told = h("p", { class: "told", role: "status" });
  const age = h("output", { class: "age" });
  const said = h("p", { class: "cursor-text", id: "plane-said", role: "status" });
  canvas.setAttribute("aria-describedby", said.id);
  root.append(
    h("div", { class: "heading" }, h("h2", { id: "output-heading", dataset: { i18n: "output.heading" } }), view.element),
    h("div", { class: "stage" }, canvas, age, said, legend(), readout),
    thresholdRow, chartView(), told);
  editing(canvas);
  cursorKeys(canvas, (text) => (said.textContent = text));
  hovering(canvas, readout);

  /** Says over the plane how old the picture is, or what to do on an empty plane. */
  function hint() {
    const { lag } = current();
    age.textContent = canTrain() ? (lag > 250 ? t("output.age", { ms: Math.round(lag) }) : "") : t("data.too_few");
  }

  /** @type {number | undefined} */
  let telling;
  subscribe((state, changed) => {
    if (changed.has("view") || changed.has("points")) {
      view.set(state.view.response);
      threshold.set(state.view.threshold);
      const isTwo = state.points.classes.length === 2;
      threshold.input.disabled = !isTwo || state.view.response === "entropy";
    }
    if (["lag", "points", "setup"].some((key) => changed.has(/** @type {any} */ (key)))) hint();
    if (changed.has("picture") || changed.has("points") || changed.has("run")) {
      // Frames of a long training come faster than anybody can be told of them.
      telling ??= setTimeout(() => {
        telling = undefined;
        const text = summary(current());
        canvas.setAttribute("aria-label", text);
        if (!current().isPlaying) told.textContent = text;
      }, 400);
    }
  });
  addEventListener("languagechange-page", () => {
    told.textContent = summary(current());
    hint();
  });
  addEventListener("themechange-page", schedule);
}

/** @param {number} threshold */
function moveThreshold(threshold) {
  update({ view: { ...current().view, threshold } });
  if (current().run.order.length === 2) moveBoundary();
}

/** What the marks of points mean. @returns {HTMLElement} */
function legend() {
  const mark = (/** @type {string} */ name, /** @type {any} */ shape) =>
    h("span", {}, svg("svg", { viewBox: "-6 -6 12 12", class: "mark", "aria-hidden": "true" }, shape), h("span", { dataset: { i18n: `legend.${name}` } }));
  return h("p", { class: "legend" },
    mark("training", svg("circle", { r: 4.5, class: "full" })),
    mark("validation", svg("circle", { r: 4 })),
    mark("wrong", svg("path", { d: "M-4-4 4 4M-4 4 4-4" })));
}

/** Asks for probabilities and the nearest boundary below the cursor of the keyboard, or else below the pointer.
 * @param {HTMLElement} canvas @param {HTMLElement} readout */
function hovering(canvas, readout) {
  /** @type {{x: number, y: number} | null} */
  let wanted = null;
  let isAsking = false;
  /** @type {PointerEvent | null} */
  let last = null;
  const blank = () => {
    readout.textContent = "";
    markNearest(null);
  };
  const clear = () => {
    wanted = last = null;
    blank();
  };
  const askAt = (/** @type {{x: number, y: number} | null} */ position) => {
    wanted = position;
    if (!isAsking) ask();
  };
  canvas.addEventListener("pointerleave", clear);
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons || event.pointerType === "touch" || current().view.response === "warped") return clear();
    last = event;
    askAt(positionOf(event));
  });
  subscribe(({ run, cursor, isDragging }, changed) => {
    if (changed.has("cursor") && !cursor) return clear();
    if (changed.has("run") && !run.target) blank();
    // The pointer may rest, but the network is another one.
    const isAnother = changed.has("run") && run.status === "done";
    if (isDragging || !(isAnother || changed.has("cursor"))) return;
    const position = cursor ?? (last && positionOf(last));
    if (position) askAt(position);
  });

  async function ask() {
    isAsking = true;
    while (wanted) {
      const { x, y } = wanted;
      wanted = null;
      const { run, points, shownEpoch, isPlaying } = current();
      if (!run.target || run.status !== "done" || isPlaying || (points.points[0]?.length ?? 2) !== 2) break;
      const epoch = shownEpoch === null ? {} : { epoch: shownEpoch };
      try {
        const answer = await api.predict(run.target, [[x, y]], ["labels", "probabilities", "nearest"], epoch);
        const hasLeft = !last && !current().cursor;
        if (hasLeft || current().run.target !== run.target) continue;
        const found = answer.nearest[0];
        readout.textContent = describe(answer, x, y);
        markNearest(found.point ? { x: found.point[0], y: found.point[1] } : null);
      } catch {
        readout.textContent = "";
      }
      await new Promise((resolve) => setTimeout(resolve, HOVER_MS));
    }
    isAsking = false;
  }
}

/** @param {any} answer @param {number} x @param {number} y */
function describe(answer, x, y) {
  const shares = answer.classes.map((/** @type {any} */ label, /** @type {number} */ k) => `${label}: ${percent(answer.probabilities[0][k])}`).join(", ");
  const { distance, at_least } = answer.nearest[0];
  const flip = distance == null ? t("hover.never") : t("hover.nearest", { distance: distance.toFixed(3), proven: at_least == null ? "–" : at_least.toFixed(3) });
  return `(${x.toFixed(2)}, ${y.toFixed(2)})  ${shares}. ${flip}`;
}
