/** Versions as files. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { file, FORMATS } from "./requests.js";

/** A choice of a format, which downloads the file.
 * @param {import("./requests.js").Version} version @param {(work: () => Promise<void>) => Promise<boolean>} attempt
 * @returns {HTMLElement} */
export function choose(version, attempt) {
  const select = h("select", { class: "download", "aria-label": t("models.download_of", version), onchange: async () => {
    const format = select.value;
    select.value = "";
    select.disabled = true;
    await attempt(async () => save(await file(version, format)));
    select.disabled = false;
  } }, h("option", { value: "" }, t("models.download")), ...FORMATS.map((format) => h("option", { value: format }, t(`models.format.${format}`))));
  return select;
}

/** @param {{blob: Blob, name: string}} file */
function save({ blob, name }) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  // The browser has taken the content by then, or asks the person for a place: it keeps the content itself.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
