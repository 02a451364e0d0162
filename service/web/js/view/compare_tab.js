/** The tutorial's four networks side by side: what each makes of the same points. */

import { COMPARED, trainKind } from "../comparison.js";
import { canTrain } from "../data.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { plane } from "../logic/plane.js";
import { current } from "../state.js";
import { classColors, themeColors } from "../theme.js";
import { paintPlane } from "./plane_view.js";

const SIZE = 150;

/** @param {HTMLElement} panel */
export function mountCompare(panel) {
  const cards = COMPARED.map((kind) => {
    const canvas = h("canvas", { width: 2 * SIZE, height: 2 * SIZE, class: "small", role: "img", dataset: { i18nLabel: `kind.${kind}` } });
    const figures = h("p", { class: "muted" });
    return { kind, canvas, figures, result: /** @type {Awaited<ReturnType<typeof trainKind>> | null} */ (null), element: h("figure", {}, canvas, h("figcaption", {}, h("b", { dataset: { i18n: `kind.${kind}` } }), figures)) };
  });
  const text = h("p");
  panel.append(text, h("div", { class: "row" }, ...cards.map(({ element }) => element)));
  /** What was compared, as text: it is trained again when that changes. */
  let compared = "";
  let round = 0;

  /** Removes pictures of points that no longer exist. */
  function clear() {
    compared = "";
    round++;
    for (const card of cards) {
      card.canvas.width = 2 * SIZE; // which also clears it
      card.figures.textContent = "";
      card.result = null;
      describe(card);
    }
  }

  /** Writes the figures of a network. @param {typeof cards[0]} card */
  function describe({ kind, canvas, figures, result }) {
    if (result) {
      const { job } = result;
      const accuracy = (100 * job.metrics.training_accuracy).toFixed(1);
      figures.textContent = t("compare.figures", { accuracy, ms: Math.round(1000 * job.training_seconds) });
    }
    canvas.setAttribute("aria-label", result ? `${t(`kind.${kind}`)}: ${figures.textContent}` : t(`kind.${kind}`));
  }

  addEventListener("themechange-page", () => cards.forEach(({ canvas, result }) => result && draw(canvas, result.picture)));

  return () => {
    const { setup, points, run, view, isDragging } = current();
    text.textContent = t(!canTrain() ? "data.too_few" : run.live ? "compare.later" : "compare.text");
    if (!canTrain()) return clear();
    cards.forEach(describe);
    const key = JSON.stringify([setup, points.points.length, run.target, view.axes]);
    if (key === compared || run.status === "training" || isDragging) return;
    compared = key;
    const mine = ++round;
    for (const card of cards) {
      trainKind(card.kind).then((result) => {
        if (mine !== round) return;
        if (!result) return void (compared = "");
        draw(card.canvas, result.picture);
        card.result = result;
        describe(card);
      }).catch((error) => {
        if (mine !== round) return;
        card.result = null;
        card.figures.replaceChildren(h("span", { lang: "en" }, error.message));
      });
    }
  };
}

/** @param {HTMLCanvasElement} canvas @param {import("../state.js").Picture} picture */
function draw(canvas, picture) {
  const cells = document.createElement("canvas");
  paintPlane(cells, picture, themeColors());
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(2, 0, 0, 2, 0, 0);
  context.drawImage(cells, 0, 0, SIZE, SIZE);
  const { points, view } = current();
  const { toX, toY } = plane(picture.plane.window, SIZE);
  const colors = classColors();
  points.points.forEach((point, i) => {
    context.beginPath();
    context.arc(toX(point[view.axes[0]]), toY(point[view.axes[1]]), 1.4, 0, 2 * Math.PI);
    context.fillStyle = colors[points.labels[i]];
    context.fill();
  });
}
