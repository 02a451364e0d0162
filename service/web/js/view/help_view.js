/** The help: what the keys do, and what is drawn. */

import { byId, h } from "../dom.js";
import { translate } from "../i18n.js";

/** The keys of each part of the page. `help.` and the name has what a row means.
 * @type {Record<string, [string, string][]>} */
const KEYS = {
  page: [["Space", "play"], ["← →", "step"], ["Home", "reset"], ["1 – 8", "class"], ["E", "erase"], ["?", "help"]],
  plane: [["← → ↑ ↓", "move"], ["Shift + ← → ↑ ↓", "leap"], ["Space, Enter", "press"], ["Delete", "delete"], ["N, P", "next"], ["Esc", "escape"]],
};

const DRAWN = ["points", "line", "links", "maps"];

/** @param {HTMLDialogElement} dialog */
export function mountHelp(dialog) {
  const word = (/** @type {string} */ key) => ({ dataset: { i18n: `help.${key}` } });
  const table = (/** @type {string} */ part) => [
    h("h3", word(part)),
    h("table", { class: "keys" }, h("tbody", {}, ...KEYS[part].map(([keys, meaning]) =>
      h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keys)), h("td", word(meaning)))))),
  ];
  const close = h("button", { type: "button", ...word("close"), onclick: () => dialog.close() });
  dialog.append(
    h("h2", { id: "help-heading", ...word("heading") }),
    ...table("page"), ...table("plane"),
    h("h3", word("drawn")), h("ul", {}, ...DRAWN.map((part) => h("li", word(part)))),
    close);
  translate(dialog);
  byId("help-button").addEventListener("click", showHelp);
}

export function showHelp() {
  byId("help").showModal();
}
