/** Texts of the page in the language of its user. Each language is a dictionary from the same keys. */

import en from "./i18n/en.js";
import zh from "./i18n/zh.js";

/** @typedef {"en" | "zh"} Language */

/** @type {Record<Language, Record<string, string>>} */
const DICTIONARIES = { en, zh };

/** @type {Language} */
let language = "en";

/** Adds the texts of a part that is loaded on demand.
 * @param {Record<Language, Record<string, string>>} texts */
export function addTexts(texts) {
  for (const name of /** @type {Language[]} */ (Object.keys(texts))) Object.assign(DICTIONARIES[name], texts[name]);
}

/** @returns {Language} */
export function currentLanguage() {
  return language;
}

/** The language that a browser prefers, of those that the page has.
 * @param {readonly string[]} preferred such as `navigator.languages`
 * @returns {Language} */
export function preferredLanguage(preferred) {
  const known = preferred.map((tag) => tag.split("-")[0]).find((tag) => tag in DICTIONARIES);
  return /** @type {Language} */ (known ?? "en");
}

/** @param {Language} chosen */
export function setLanguage(chosen) {
  language = chosen;
}

/** The text of a key. `{name}` in it is replaced by the value of that name. A key without a text is its own text.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string} */
export function t(key, values = {}) {
  const text = DICTIONARIES[language][key] ?? DICTIONARIES.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Translates a sentence of the service into the language of the page. A sentence without a translation stays English.
 * @param {string} sentence
 * @returns {string} */
export function translated(sentence) {
  for (const [key, text] of Object.entries(en)) {
    const values = key.startsWith("said.") && patternOf(text).exec(sentence)?.groups;
    if (values) return t(key, values);
  }
  return sentence;
}

/** A pattern that matches a text with any values in its placeholders. @param {string} text */
function patternOf(text) {
  return new RegExp(`^${text.replace(/[.()]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.+)")}$`);
}

/** The language of a text, as a tag: that of the page, or English for sentences of the service.
 * @param {string} text
 * @returns {string} */
export function languageOf(text) {
  return language === "zh" && /\p{Script=Han}/u.test(text) ? "zh-Hans" : "en";
}

/** Writes the texts into all elements below `root` that name a key: as content (`data-i18n`), or as the label and tooltip
 * of a control (`data-i18n-label`).
 * @param {ParentNode} root */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-i18n]")) {
    element.textContent = t(/** @type {HTMLElement} */ (element).dataset.i18n ?? "");
  }
  for (const element of root.querySelectorAll("[data-i18n-label]")) {
    const text = t(/** @type {HTMLElement} */ (element).dataset.i18nLabel ?? "");
    element.setAttribute("aria-label", text);
    if (element.matches("button, a, input, select")) element.setAttribute("title", text);
  }
}
