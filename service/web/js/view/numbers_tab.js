/** Confusion matrix, recall of each class, and the ROC curve with the threshold on it. */

import { h, svg } from "../dom.js";
import { t } from "../i18n.js";
import { accuracy, confusion, labelsAt, percent, recalls, rocCurve } from "../logic/metrics.js";
import { partOf } from "../data.js";
import { current } from "../state.js";
import { dot } from "./data_view.js";
import { classColors } from "../theme.js";

const ROC = 180;

/** @param {HTMLElement} panel */
export function mountNumbers(panel) {
  return () => {
    const { points, view, shownEpoch, run } = current();
    const { probabilities } = points;
    const isEarlier = shownEpoch !== null && shownEpoch !== run.epochs;
    const isPart = points.points.length < points.total;
    if (!probabilities) return panel.replaceChildren(h("p", {}, t("numbers.none")));
    const groups = points.validation?.includes(true) ? [false, true] : [null];
    panel.replaceChildren(...(isEarlier ? [h("p", { class: "hint" }, t("numbers.last_epoch"))] : []), ...(isPart ? [h("p", { class: "hint" }, t("data.part", partOf(points)))] : []), ...groups.map((isValidation) => {
      const chosen = points.labels.map((_, i) => i).filter((i) => isValidation === null || points.validation?.[i] === isValidation);
      const labels = chosen.map((i) => points.labels[i]);
      const own = chosen.map((i) => probabilities[i]);
      return group(isValidation, labels, own, view.threshold);
    }));
  };
}

/** @param {boolean | null} isValidation @param {number[]} labels @param {number[][]} probabilities @param {number} threshold */
function group(isValidation, labels, probabilities, threshold) {
  const { classes } = current().points;
  const counts = confusion(labels, labelsAt(probabilities, threshold), classes.length);
  const isTwo = classes.length === 2;
  const roc = isTwo ? rocCurve(labels, probabilities.map(([, p]) => p)) : null;
  return h("section", { class: "figures" },
    h("h3", {}, t(isValidation ? "numbers.validation" : "numbers.training", { count: labels.length })),
    h("p", {}, t("numbers.accuracy", { accuracy: percent(accuracy(counts)) }), roc ? ` · ${t("numbers.auc", { auc: roc.auc.toFixed(4) })}` : null),
    h("div", { class: "row" }, table(counts), roc ? rocPicture(roc, counts) : null));
}

/** @param {number[][]} counts */
function table(counts) {
  const { classes } = current().points;
  const colors = classColors();
  const recall = recalls(counts);
  return h("table", {},
    h("caption", {}, t("numbers.caption")),
    h("thead", {}, h("tr", {}, h("td"), ...classes.map((label) => h("th", { scope: "col" }, String(label))), h("th", { scope: "col" }, t("numbers.recall")))),
    h("tbody", {}, ...counts.map((row, k) => h("tr", {},
      h("th", { scope: "row" }, dot(colors[k]), ` ${classes[k]}`),
      ...row.map((count, j) => h("td", { class: j === k ? "right" : count ? "wrong" : "" }, String(count))),
      h("td", {}, percent(recall[k]))))));
}

/** @param {NonNullable<ReturnType<typeof rocCurve>>} roc @param {number[][]} counts at the threshold */
function rocPicture(roc, counts) {
  const d = roc.fpr.map((x, i) => `${i ? "L" : "M"}${(x * ROC).toFixed(1)} ${((1 - roc.tpr[i]) * ROC).toFixed(1)}`).join("");
  const fpr = counts[0][1] / (counts[0][0] + counts[0][1]);
  const tpr = counts[1][1] / (counts[1][0] + counts[1][1]);
  return svg("svg", { viewBox: `-6 -6 ${ROC + 12} ${ROC + 12}`, class: "roc", role: "img", "aria-label": t("numbers.roc", { fpr: percent(fpr), tpr: percent(tpr) }) },
    svg("rect", { width: ROC, height: ROC, class: "frame" }),
    svg("path", { d: `M0 ${ROC}L${ROC} 0`, class: "chance" }),
    svg("path", { d, class: "curve" }),
    svg("circle", { cx: fpr * ROC, cy: (1 - tpr) * ROC, r: 5, class: "at" }));
}
