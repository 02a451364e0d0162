/** The weights, by the names that they have in the program of the tutorial. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { current } from "../state.js";

/** @param {HTMLElement} panel */
export function mountLayers(panel) {
  return () => {
    const network = current().picture?.network;
    if (!network) return panel.replaceChildren(h("p", {}, t("layers.none")));
    const all = network.shortcut ? [network.shortcut, ...network.dense] : network.dense;
    const rows = all.flatMap((layer) => layer.weight.map((weights, unit) => h("tr", {},
      h("th", { scope: "row" }, layer.rowName(unit)),
      h("td", { class: "numbers" }, weights.map((weight) => weight.toFixed(4)).join("  ")),
      h("th", { scope: "row" }, layer.biasName(unit)),
      h("td", { class: "numbers" }, layer.bias[unit].toFixed(4)))));
    const code = h("pre", {}, network.text);
    panel.replaceChildren(h("p", {}, t("layers.count", { count: network.parameters })), h("div", { class: "row" }, code, h("table", {}, h("tbody", {}, ...rows))));
  };
}
