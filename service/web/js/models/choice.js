/** Choosing two versions to compare: the first is remembered until there is a second. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { go } from "../place.js";

/** @typedef {import("./requests.js").Version} Version */

/** @type {Version | null} */
let first = null;

/** @type {() => void} */
let tell = () => {};

/** @param {Version} version */
export const nameOf = ({ model, version }) => `${model}:${version}`;

/** Chooses a version as the first or the second of a comparison. Choosing the first one again undoes the choice.
 * @param {Version} version */
function choose(version) {
  if (first && nameOf(first) !== nameOf(version)) {
    const pair = /** @type {[string, string]} */ ([nameOf(first), nameOf(version)]);
    first = null;
    go({ compare: pair });
  } else first = first ? null : version;
  mark();
}

/** @param {Version} version @returns {HTMLElement} */
export function compareButton(version) {
  return h("button", { type: "button", class: "compare", dataset: { version: nameOf(version) }, "aria-pressed": String(isFirst(nameOf(version))), onclick: () => choose(version) }, t("models.compare"));
}

/** @param {string} name */
const isFirst = (name) => first !== null && nameOf(first) === name;

function mark() {
  for (const button of document.querySelectorAll("button.compare")) button.setAttribute("aria-pressed", String(isFirst(/** @type {HTMLElement} */ (button).dataset.version ?? "")));
  tell();
}

/** A line that says what was chosen first and what to do next.
 * @returns {HTMLElement} */
export function choiceBar() {
  const text = h("span");
  const bar = h("p", { class: "choice", role: "status", hidden: true }, text, h("button", { type: "button", onclick: () => first && choose(first) }, t("models.choose_none")));
  tell = () => {
    bar.hidden = !first;
    text.textContent = first ? t("models.choose_second", { version: nameOf(first) }) : "";
  };
  tell();
  return bar;
}
