/** The details of a version, from its card. */

import { h } from "../../dom.js";
import { languageOf, t, translated } from "../../i18n.js";
import { facts } from "./cards.js";
import { version as read } from "../requests.js";

/** @param {import("../requests.js").Version} version @returns {Promise<HTMLElement>} */
export async function detailsOf(version) {
  const { card, reason, job_id } = await read(version);
  if (!card) return h("p", { class: "said" }, reason ?? t("models.damaged"));
  const pairs = [...facts(card), ...(job_id ? [["job", job_id]] : [])];
  return h("div", {},
    h("dl", { class: "facts" }, ...pairs.map(([key, value]) => h("div", {}, h("dt", {}, t(`models.fact.${key}`)), h("dd", {}, value)))),
    ...card.warnings.map(translated).map((/** @type {string} */ warning) => h("p", { class: "said", lang: languageOf(warning) }, warning)));
}
