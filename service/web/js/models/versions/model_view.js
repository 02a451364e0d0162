/** One model: its versions, newest first, and what can be done with them. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { go } from "../../place.js";
import { aliasesOf } from "./alias_view.js";
import { choose as chooseFile } from "./files.js";
import { compareButton } from "../choice.js";
import { confirmDeletion } from "../confirm.js";
import { detailsOf } from "./details_view.js";
import { fitCell, moment, whole } from "../figures.js";
import { openButton } from "./open_button.js";
import { pagedList } from "../paging.js";
import { thumbnailOf } from "../pictures.js";
import * as requests from "../requests.js";
import { refusals } from "../said.js";

/** @param {HTMLElement} root @param {string} name
 * @returns {() => Promise<void>} reads the model again */
export function mountModel(root, name) {
  const { element: said, attempt } = refusals();
  const settings = h("span", { class: "keep" });
  const count = h("span", { class: "muted" });
  const remove = h("button", { type: "button", class: "danger", onclick: () => confirmDeletion(t("models.delete_model", { model: name }), t("models.delete_model_text"), async () => {
    await requests.deleteModel(name);
    go({ model: null });
  }) }, t("models.delete_model_button"));
  const list = pagedList({
    read: (after) => requests.versions(name, after),
    columns: ["models.version", "models.accuracy", "models.aliases", "models.actions"],
    row: (version) => rows(version, attempt, refresh),
    empty: () => h("p", { class: "empty" }, t("models.no_versions")),
  });
  const back = h("a", { href: "#tab=models", onclick: (/** @type {Event} */ event) => (event.preventDefault(), go({ model: null })) }, t("models.heading"));
  root.append(
    h("div", { class: "heading" }, h("h2", {}, back, " / ", name, " ", count), h("span", { class: "row" }, settings, remove)),
    said, list.element);

  const parts = [count, settings, remove, list.element];

  async function refresh() {
    const isThere = await attempt(async () => {
      const model = await requests.model(name).catch((error) => {
        // Somebody has deleted the model: nothing of it is left to show.
        if (error.status === 404) for (const part of parts) part.hidden = true;
        throw error;
      });
      for (const part of parts) part.hidden = false;
      count.textContent = t("models.count", { count: whole(model.version_count) });
      if (!settings.contains(document.activeElement)) settings.replaceChildren(keeping(model, attempt));
    });
    if (isThere) await list.refresh();
  }
  return refresh;
}

/** How many versions the model keeps.
 * @param {any} model @param {(work: () => Promise<void>) => Promise<boolean>} attempt */
function keeping({ name, keep_versions }, attempt) {
  const input = h("input", {
    type: "number", min: 0, value: keep_versions ?? "", placeholder: t("models.as_service"), title: t("models.keep_text"),
    onchange: () => attempt(async () => void (await requests.keepVersions(name, input.value === "" ? null : input.valueAsNumber))),
  });
  return h("label", {}, h("span", { class: "muted" }, t("models.keep_versions")), input);
}

/** The row of a version, and that of its details once it is opened.
 * @param {any} summary @param {(work: () => Promise<void>) => Promise<boolean>} attempt @param {() => Promise<void>} refresh
 * @returns {HTMLElement[]} */
function rows(summary, attempt, refresh) {
  const version = { model: summary.model, version: summary.version };
  const isServed = summary.status === "served";
  const more = h("tr", { class: "details", hidden: true }, h("td", { colSpan: 4 }));
  const open = h("button", { type: "button", class: "plain", "aria-expanded": "false", onclick: () => attempt(async () => {
    if (!more.firstChild.firstChild) more.firstChild.append(await detailsOf(version));
    more.hidden = !more.hidden;
    open.setAttribute("aria-expanded", String(!more.hidden));
  }) }, t("models.version_number", { version: summary.version }));
  const remove = h("button", { type: "button", class: "danger", onclick: () => confirmDeletion(t("models.delete_version", version), t("models.delete_version_text"), async () => {
    await requests.deleteVersion(version);
    await refresh();
  }) }, t("models.delete"));
  const actions = isServed ? [openButton(version, attempt), compareButton(version), chooseFile(version, attempt)] : [];
  return [
    h("tr", { dataset: { version: summary.version } },
      h("th", { scope: "row" }, h("span", { class: "model" }, thumbnailOf(version), h("span", {}, open, isServed ? null : h("b", { class: "bad-text" }, t("models.damaged")), h("small", {}, moment(summary.created_at))))),
      fitCell(summary.metrics),
      h("td", { class: "text", dataset: { label: t("models.aliases") } }, aliasesOf(version, summary.aliases, attempt, refresh)),
      h("td", { class: "actions" }, ...actions, remove)),
    more,
  ];
}
