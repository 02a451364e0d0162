/** The points whose label differs between two versions. */

import { datasets } from "../../api.js";
import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { percent } from "../../logic/metrics.js";
import { figuresTable } from "./figures_table.js";
import { sideBySide } from "./comparison.js";
import { whole } from "../figures.js";
import * as requests from "../requests.js";
import { refusals } from "../said.js";

/** Most flips that are listed. */
const LIMIT = 200;

/** @param {HTMLElement} root @param {[string, string]} pair @param {(points: number[][]) => void} mark shows points in the pictures */
export function mountFlips(root, pair, mark) {
  const { element: said, attempt } = refusals();
  const result = h("div", { role: "status" });
  const own = [{ value: "a", text: t("models.trained_on", { letter: "A" }), query: { training_data: "a" } }, { value: "b", text: t("models.trained_on", { letter: "B" }), query: { training_data: "b" } }];
  let choices = own;
  const choice = h("select", { "aria-label": t("models.points"), onchange: read }, ...own.map(optionOf));
  root.append(h("h3", {}, t("models.flips")), choice, said, result);
  datasets().then((all) => {
    const others = all.map(({ name }) => ({ value: `dataset:${name}`, text: name, query: { dataset: name } }));
    choices = [...own, .../** @type {any} */ (others)];
    choice.append(...others.map(optionOf));
  }, () => {});

  async function read() {
    const chosen = choices.find(({ value }) => value === choice.value) ?? own[0];
    const isDone = await attempt(async () => {
      const found = await requests.comparison(pair, { ...chosen.query, limit: LIMIT });
      if (choice.value !== chosen.value) return;
      result.replaceChildren(...parts(found));
      mark(found.flips.map((/** @type {any} */ { point }) => point));
    });
    if (!isDone) (result.replaceChildren(), mark([]));
  }
  read();
}

/** @param {{value: string, text: string}} choice */
const optionOf = ({ value, text }) => h("option", { value }, text);

/** @param {any} found @returns {HTMLElement[]} */
function parts({ a, b, compared, differing, disagreement, flips, has_more }) {
  const row = (/** @type {any} */ flip) => h("tr", {},
    h("th", { scope: "row" }, whole(flip.index)), h("td", {}, flip.point.slice(0, 4).map((/** @type {number} */ x) => String(Number(x.toPrecision(4)))).join(", ") + (flip.point.length > 4 ? ", …" : "")),
    ...[flip.a, flip.b].map((label) => h("td", { class: label === flip.label ? "right" : "wrong" }, String(label))), h("td", {}, String(flip.label)));
  const heads = ["models.index", "models.point", "", "", "models.class"].map((key, i) => h("th", { scope: "col" }, key ? t(key) : "AB"[i - 2]));
  return [
    h("p", {}, t("models.flipped", { count: whole(differing), all: whole(compared), share: percent(disagreement) })),
    figuresTable(sideBySide(a.evaluation, b.evaluation)),
    ...(flips.length ? [h("div", { class: "flips", tabIndex: 0, role: "region", "aria-label": t("models.flips") }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...flips.map(row))))] : []),
    ...(has_more ? [h("p", { class: "muted" }, t("models.first_flips", { count: flips.length }))] : []),
  ];
}
