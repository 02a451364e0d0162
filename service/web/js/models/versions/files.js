/** Versions as files. */

import { h, saveFile } from "../../dom.js";
import { t } from "../../i18n.js";
import { file, FORMATS } from "../requests.js";

/** A choice of a format, which downloads the file.
 * @param {import("../requests.js").Version} version @param {(work: () => Promise<void>) => Promise<boolean>} attempt
 * @returns {HTMLElement} */
export function choose(version, attempt) {
  const select = h("select", { class: "download", "aria-label": t("models.download_of", version), onchange: async () => {
    const format = select.value;
    select.value = "";
    select.disabled = true;
    await attempt(async () => {
      const { blob, name } = await file(version, format);
      saveFile(blob, name);
    });
    select.disabled = false;
  } }, h("option", { value: "" }, t("models.download")), ...FORMATS.map((format) => h("option", { value: format }, t(`models.format.${format}`))));
  return select;
}
