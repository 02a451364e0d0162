/** Trains the setup of the playground as the next version of a model. */

import * as api from "../../api.js";
import { canTrain } from "../../data.js";
import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { published } from "../../logic/code.js";
import { trainingRequest } from "../../logic/setup.js";
import { current } from "../../state.js";
import { refusals } from "../said.js";

/** @param {(job: any) => void} onsubmitted called with the job
 * @returns {HTMLElement} */
export function trainingForm(onsubmitted) {
  const { element: said, attempt } = refusals();
  const name = h("input", { type: "text", required: true, maxLength: 63, placeholder: t("models.name"), "aria-label": t("models.train_as"), autocomplete: "off", spellcheck: false });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    attempt(async () => {
      const { setup, points } = current();
      if (!canTrain()) throw new api.Problem(422, { detail: t("models.cannot_train") });
      onsubmitted(await api.train(published(trainingRequest(setup, points), name.value.trim()), 0));
    });
  };
  return h("form", { class: "train", onsubmit: submit }, h("label", {}, h("span", { class: "muted" }, t("models.train_as")), h("span", { class: "pair" }, name, h("button", {}, t("models.train")))), said);
}
