/** The button that opens a version in the playground. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { openVersion } from "./opening.js";
import { go } from "../../place.js";

/** @param {import("../requests.js").Version} version @param {(work: () => Promise<void>) => Promise<boolean>} attempt
 * @returns {HTMLElement} */
export function openButton(version, attempt) {
  return h("button", { type: "button", onclick: () => attempt(async () => {
    await openVersion(version);
    go({ tab: "playground", model: null, compare: null });
  }) }, t("models.open"));
}
