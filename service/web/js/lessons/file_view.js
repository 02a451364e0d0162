/** Saving the network to a file, and loading it again. */

import { h, saveFile } from "../dom.js";
import { t } from "../i18n.js";
import { showProblem } from "../problems.js";
import { LOADED_MODEL, openFile, savedNetwork } from "./checkpoint.js";

const FILE_NAME = "flower.pth";

/** @returns {HTMLElement} */
export function fileView() {
  const told = h("p", { role: "status" });
  const file = h("input", { type: "file", accept: ".pth", hidden: true, onchange: () => file.files[0] && doing(load, loadButton) });
  const saveButton = h("button", { type: "button", onclick: () => doing(save, saveButton) }, t("lessons.file.save"));
  const loadButton = h("button", { type: "button", onclick: () => file.click() }, t("lessons.file.load"));

  /** @param {() => Promise<string>} action @param {HTMLButtonElement} button */
  async function doing(action, button) {
    button.disabled = true;
    try {
      told.textContent = await action();
    } catch (error) {
      told.textContent = "";
      showProblem(error);
    }
    button.disabled = false;
  }

  async function save() {
    const blob = await savedNetwork();
    if (!blob) return t("lessons.not_set_up");
    saveFile(blob, FILE_NAME);
    return t("lessons.file.saved", { file: FILE_NAME, bytes: blob.size.toLocaleString("en") });
  }

  async function load() {
    const [chosen] = file.files;
    file.value = "";
    const result = await openFile(chosen);
    if (!result) return t("lessons.not_set_up");
    const { version, same, all, difference } = result;
    const gap = difference === 0 ? "0" : difference.toExponential(1);
    return t("lessons.file.loaded", { model: LOADED_MODEL, version, same, all, difference: gap });
  }

  return h("div", { class: "file" }, h("div", { class: "files" }, saveButton, loadButton, file), told);
}
