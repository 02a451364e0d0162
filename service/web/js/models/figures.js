/** Numbers and times as this tab shows them. */

import { h } from "../dom.js";
import { currentLanguage, t } from "../i18n.js";
import { percent } from "../logic/metrics.js";

/** A cell with the accuracy on training points, and below it that on validation points and the loss.
 * @param {any} metrics of a version, or null
 * @returns {HTMLElement} */
export function fitCell(metrics) {
  const lines = metrics ? [metrics.validation_accuracy == null ? "" : t("models.validation", { share: percent(metrics.validation_accuracy) }), t("models.loss", { loss: nats(metrics.training_loss) })] : [];
  return h("td", { class: "fit", dataset: { label: t("models.accuracy") } }, percent(metrics?.training_accuracy), ...lines.filter(Boolean).map((line) => h("small", {}, line)));
}

/** @param {number | null | undefined} loss in nats */
export const nats = (loss) => (loss == null ? "–" : loss.toFixed(4));

/** @param {number} count */
export const whole = (count) => count.toLocaleString("en");

/** @param {string | null} time of the service @returns {string} day and time in the language of the page */
export function moment(time) {
  return time ? new Date(time).toLocaleString(currentLanguage(), { dateStyle: "medium", timeStyle: "short" }) : "–";
}

/** @param {number} seconds */
export const duration = (seconds) => (seconds < 1 ? t("models.ms", { ms: Math.round(1000 * seconds) }) : t("models.seconds", { seconds: whole(Math.round(seconds)) }));
