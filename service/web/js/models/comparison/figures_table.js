/** Figures of two versions side by side. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { percent } from "../../logic/metrics.js";
import { nats } from "../figures.js";

/** @param {[string, number | null, number | null][]} rows @returns {HTMLElement} */
export function figuresTable(rows) {
  if (!rows.length) return h("p", { class: "muted" }, t("models.no_figures"));
  const textOf = (/** @type {string} */ key, /** @type {number | null} */ value) => (key.includes("loss") ? nats(value) : percent(value));
  const change = (/** @type {string} */ key, /** @type {number | null} */ a, /** @type {number | null} */ b) => (a === null || b === null ? "–" : `${b > a ? "+" : b < a ? "−" : ""}${key.includes("loss") ? nats(Math.abs(b - a)) : t("models.percentage_points", { count: (100 * Math.abs(b - a)).toFixed(1) })}`);
  return h("table", {}, h("thead", {}, h("tr", {}, h("td"), ...["A", "B", "B − A"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows.map(([key, a, b]) => h("tr", {}, h("th", { scope: "row" }, t(`models.figure.${key}`)), h("td", {}, textOf(key, a)), h("td", {}, textOf(key, b)), h("td", {}, change(key, a, b))))));
}
