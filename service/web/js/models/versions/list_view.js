/** All models, by name. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { here, go } from "../../place.js";
import { compareButton } from "../choice.js";
import { fitCell, moment, whole } from "../figures.js";
import { pagedList } from "../paging.js";
import { thumbnailOf } from "../pictures.js";
import * as requests from "../requests.js";

/** @param {HTMLElement} root
 * @returns {() => Promise<void>} reads the models again */
export function mountList(root) {
  const list = pagedList({
    read: requests.models,
    columns: ["models.model", "models.accuracy", "models.versions", "models.aliases", "models.actions"],
    row: (model) => [row(model)],
    empty: () => h("p", { class: "empty" }, t("models.none")),
  });
  root.append(h("div", { class: "heading" }, h("h2", {}, t("models.heading"))), list.element);
  return list.refresh;
}

/** @param {any} model */
function row({ name, latest, served_version: served, newest_version: newest, version_count: count, aliases }) {
  const version = { model: name, version: served ?? newest };
  const open = (/** @type {Event} */ event) => {
    event.preventDefault();
    go({ model: name, compare: null });
  };
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "model" }, thumbnailOf(version),
      h("span", {}, h("a", { href: addressOf(name), onclick: open }, name), h("small", {}, served ? moment(latest.created_at) : t("models.damaged"))))),
    fitCell(latest?.metrics),
    h("td", { dataset: { label: t("models.versions") } }, whole(count)),
    h("td", { class: "text", dataset: { label: t("models.aliases") } }, ...Object.entries(aliases).map(([alias, number]) => h("span", { class: "alias" }, `${alias} → ${number}`))),
    h("td", { class: "actions" }, served ? compareButton(version) : null));
}

/** @param {string} name */
function addressOf(name) {
  return `#${new URLSearchParams({ tab: here().tab, model: name })}`;
}
