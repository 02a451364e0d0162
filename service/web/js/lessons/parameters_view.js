/** The parameters of the network that is shown, as it stores them. */

import { h } from "../dom.js";
import { t } from "../i18n.js";

/** The roles of the parameters, in their order: weights and biases of the hidden layer, then those of the output. */
const ROLES = ["hidden_weight", "hidden_bias", "output_weight", "output_bias"];

/** @param {import("../state.js").Picture["network"]} network
 * @returns {HTMLElement} */
export function parametersTable(network) {
  const parameters = network?.dense.flatMap((layer) => layer.stored) ?? [];
  const roles = ROLES.slice(-parameters.length);
  // A name such as `net[0].weight` explains itself. A name such as `w1` does not.
  const isByHand = parameters.some(({ name }) => !name.includes("."));
  const rows = parameters.map(({ name, shape, values }, i) => h("tr", {},
    h("th", { scope: "row" }, h("code", {}, name)),
    h("td", {}, `(${shape.join(", ")})`),
    isByHand ? h("td", { class: "role" }, t(`lessons.role.${roles[i]}`)) : null,
    h("td", { class: "numbers" }, valuesText(values))));
  const heads = ["name", "shape", ...(isByHand ? ["role"] : []), "values"].map((name) => h("th", { scope: "col" }, t(`lessons.parameter.${name}`)));
  return h("table", { class: "parameters" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows));
}

/** A row of numbers for each row of an array.
 * @param {any} values (n) or (rows, n)
 * @returns {string} */
function valuesText(values) {
  const rows = Array.isArray(values[0]) ? values : [values];
  return rows.map((/** @type {number[]} */ row) => row.map((value) => value.toFixed(2)).join("  ")).join("\n");
}
