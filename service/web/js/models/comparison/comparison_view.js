/** Two versions side by side: their boundaries, where they disagree, the points that flip, and their figures. */

import { requestFile } from "../../api.js";
import { h, svg } from "../../dom.js";
import { t } from "../../i18n.js";
import { percent } from "../../logic/metrics.js";
import { go } from "../../place.js";
import { marks, references, sameWindow, sideBySide } from "./comparison.js";
import { measuredAxes } from "../versions/cards.js";
import { nameOf } from "../choice.js";
import { whole } from "../figures.js";
import { figuresTable } from "./figures_table.js";
import { mountFlips } from "./flips_view.js";
import { show } from "../pictures.js";
import * as requests from "../requests.js";
import { refusals } from "../said.js";

/** Cells along each side of the pictures. */
const RESOLUTION = 400;

/** @param {HTMLElement} root @param {[string, string]} pair
 * @returns {() => Promise<void>} reads the comparison again */
export function mountComparison(root, pair) {
  const { element: said, attempt } = refusals();
  const result = h("div");
  const back = h("a", { href: "#tab=models", onclick: (/** @type {Event} */ event) => (event.preventDefault(), go({ compare: null, model: null })) }, t("models.heading"));
  root.append(h("div", { class: "heading" }, h("h2", {}, back, " / ", t("models.compare"))), pairForm(pair), said, result);
  let isRead = false;

  /** @param {any[]} cards of both versions @param {[number, number]} [axes] the service chooses them if they are left out */
  async function read(cards, axes) {
    const compared = await requests.comparison(pair, { resolution: RESOLUTION, axes: axes?.join() });
    const choice = axes ? [axesChoice(cards[0], axes, (chosen) => attempt(() => read(cards, chosen)))] : [];
    result.replaceChildren(...choice, ...parts(pair, compared, cards.map(({ feature_names }) => feature_names)));
  }

  return async () => {
    if (isRead) return;
    await attempt(async () => {
      const { a, b, window } = await requests.comparison(pair, { resolution: 2 });
      // In a plane there is nothing to choose.
      const cards = window.at.length ? (await Promise.all([a, b].map(requests.version))).map(({ card }) => card) : [];
      await read(cards, cards.length ? measuredAxes(cards[0]) : undefined);
      isRead = true;
    });
  };
}

/** The features along the axes of the pictures.
 * @param {any} card of `a` @param {[number, number]} axes @param {(axes: [number, number]) => void} onchoose */
function axesChoice({ feature_names, n_features }, axes, onchoose) {
  const names = feature_names ?? Array.from({ length: n_features }, (_, i) => `x${i + 1}`);
  const selects = axes.map((axis, i) => h("select", { onchange: () => {
    const chosen = Number(selects[i].value);
    // If the other axis already has this feature, the axes swap.
    onchoose(/** @type {[number, number]} */ (axes.map((other, j) => (j === i ? chosen : other === chosen ? axis : other))));
  } }, ...names.map((/** @type {string} */ name, /** @type {number} */ k) => h("option", { value: k, selected: k === axis }, name))));
  return h("div", { class: "row axes" }, ...selects.map((select, i) => h("label", { class: "pair" }, h("span", { class: "muted" }, t(["data.axis_x", "data.axis_y"][i])), select)));
}

/** The two versions, which can be typed, chosen and swapped. @param {[string, string]} pair */
function pairForm(pair) {
  const known = h("datalist", { id: "references" });
  const inputs = pair.map((value, i) => h("input", { type: "text", required: true, value, list: "references", "aria-label": t("models.compared", { letter: "AB"[i] }), autocomplete: "off", spellcheck: false }));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    go({ compare: /** @type {[string, string]} */ (inputs.map((input) => input.value.trim())) });
  };
  // Once the models are read, their versions are suggestions.
  requests.models(null).then(({ data }) => known.append(...references(data).map((value) => h("option", { value }))), () => {});
  const [first, second] = inputs.map((input, i) => h("label", {}, h("b", {}, "AB"[i]), input));
  return h("form", { class: "pair-form", onsubmit: submit }, first,
    h("button", { type: "button", "aria-label": t("models.swap"), title: t("models.swap"), onclick: () => go({ compare: [pair[1], pair[0]] }) }, "⇄"),
    second, h("button", {}, t("models.compare")), known);
}

/** @param {[string, string]} pair @param {any} compared @param {(string[] | null)[]} names of the features of both
 * @returns {HTMLElement[]} */
function parts(pair, compared, [ofA = null, ofB = null]) {
  const { a, b, window } = compared;
  const pictures = [
    figure(`A ${nameOf(a)}`, "", pictureOf(a, sameWindow(window, ofA, ofA))),
    figure(`B ${nameOf(b)}`, "", pictureOf(b, sameWindow(window, ofA, ofB))),
    figure(t("models.difference"), t("models.differing", { share: percent(compared.disagreement) }), requests.comparisonPicture(pair, { ...window.window, resolution: RESOLUTION, axes: window.axes.join(), at: window.at.join() || undefined })),
  ];
  const mark = (/** @type {number[][]} */ points) => {
    const places = marks(points, window);
    for (const { overlay } of pictures) overlay.replaceChildren(...places.map(([x, y]) => svg("circle", { cx: `${100 * x}%`, cy: `${100 * y}%`, r: 3 })));
  };
  const flips = h("section");
  mountFlips(flips, pair, mark);
  return [
    h("div", { class: "compared" }, ...pictures.map(({ element }) => element)),
    h("p", { class: "muted" }, t("models.legend")),
    h("div", { class: "compared two" }, h("section", {}, h("h3", {}, t("models.figures")), figuresTable(sideBySide(a.metrics, b.metrics)), h("h3", {}, t("models.where")), differencesList(compared)), flips),
  ];
}

/** The picture of a version in the window. @param {any} version @param {Record<string, any>} query */
function pictureOf({ model, version }, query) {
  const overlay = query.y_min === null ? undefined : "line";
  return requestFile("boundary-grid", { model, version, ...query, overlay, transparent: true, format: "png" });
}

/** @param {string} title @param {string} text @param {Promise<Blob>} reading */
function figure(title, text, reading) {
  const image = h("img", { alt: [title, text].filter(Boolean).join(": ") });
  const overlay = svg("svg", { "aria-hidden": "true" });
  show(image, reading);
  return { overlay, element: h("figure", {}, h("span", { class: "picture" }, image, overlay), h("figcaption", {}, h("b", {}, title), text ? h("span", {}, ` ${text}`) : null)) };
}

/** The pairs of different classes that the versions give to cells, each with its number of cells. @param {any} compared */
function differencesList({ differences, compared }) {
  if (!differences.length) return h("p", { class: "muted" }, t("models.same_labels"));
  return h("ul", { class: "differences" }, ...differences.map((/** @type {any} */ { a, b, count, color }) => {
    const swatch = svg("svg", { viewBox: "0 0 12 12", class: "dot", "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, fill: color }));
    return h("li", {}, swatch, ` A ${a}, B ${b}: ${percent(count / compared)} (${t("models.cells", { count: whole(count) })})`);
  }));
}
