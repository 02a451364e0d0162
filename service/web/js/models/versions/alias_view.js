/** The aliases of a version: shown, moved here, and removed. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import * as requests from "../requests.js";

/** @typedef {(work: () => Promise<void>) => Promise<boolean>} Attempt */

/** @param {requests.Version} version @param {string[]} aliases @param {Attempt} attempt @param {() => Promise<void>} refresh
 * @returns {HTMLElement} */
export function aliasesOf(version, aliases, attempt, refresh) {
  const remove = (/** @type {string} */ alias) => attempt(async () => {
    await requests.deleteAlias(version.model, alias);
    await refresh();
  });
  const shown = aliases.map((alias) => h("span", { class: "alias" }, alias, alias === "latest" ? null : removal(t("models.remove_alias", { alias }), () => remove(alias))));
  return h("div", { class: "aliases" }, ...shown, addition(version, attempt, refresh));
}

/** @param {string} label @param {() => void} onclick */
function removal(label, onclick) {
  return h("button", { type: "button", class: "plain", "aria-label": label, title: label, onclick }, "×");
}

/** A field for a new alias of the version. An alias of another version moves here.
 * @param {requests.Version} version @param {Attempt} attempt @param {() => Promise<void>} refresh */
function addition(version, attempt, refresh) {
  const input = h("input", { type: "text", required: true, maxLength: 63, placeholder: t("models.alias"), "aria-label": t("models.alias_for", version), autocomplete: "off", spellcheck: false });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    attempt(async () => {
      await requests.moveAlias(version, input.value.trim());
      await refresh();
    });
  };
  return h("form", { class: "add", title: t("models.alias_text"), onsubmit: submit }, input, h("button", {}, t("models.set_alias")));
}
