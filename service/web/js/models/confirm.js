/** Questions before something is deleted. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { refusals } from "./said.js";

/** Asks for a confirmation, and then calls `work`. A refusal of the service is shown below the question.
 * @param {string} question @param {string} consequence @param {() => Promise<void>} work */
export function confirmDeletion(question, consequence, work) {
  const { element, attempt } = refusals();
  const agree = h("button", { type: "button", class: "danger", onclick: async () => {
    agree.disabled = true;
    if (await attempt(work)) dialog.close();
    agree.disabled = false;
  } }, t("models.delete"));
  const dialog = h("dialog", { class: "confirmation", "aria-labelledby": "question" },
    h("h2", { id: "question" }, question), h("p", { class: "muted" }, consequence), element,
    h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, t("models.keep")), agree));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
