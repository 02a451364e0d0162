/** Small controls, each with a label that names it. Texts are keys, so that they follow the language. */

import { h } from "../dom.js";

/** A label above or before a control.
 * @param {string} key of its text @param {HTMLElement} control @param {{field?: string, wide?: boolean}} [options] `field` is that of
 * the request, beside which refusals are shown
 * @returns {HTMLElement} */
export function labelled(key, control, { field, wide } = {}) {
  return h("label", { class: wide ? "field wide" : "field", dataset: field ? { field } : {} }, h("span", { dataset: { i18n: key } }), control);
}

/** A choice of one.
 * @param {readonly (string | number)[]} values @param {(value: string) => void} onchange
 * @param {string} [prefix] of the keys of their texts; without it, values are their own texts
 * @returns {HTMLSelectElement} */
export function choice(values, onchange, prefix) {
  const options = values.map((value) => h("option", { value, ...(prefix ? { dataset: { i18n: `${prefix}.${value}` } } : {}) }, prefix ? "" : String(value)));
  const select = h("select", { onchange: () => onchange(select.value) }, ...options);
  return select;
}

/** A number that is typed.
 * @param {{min?: number, max?: number, step?: number | "any"}} bounds @param {(value: number) => void} onchange
 * @returns {HTMLInputElement} */
export function number(bounds, onchange) {
  const input = h("input", {
    type: "number", ...bounds, inputMode: "decimal",
    onchange: () => {
      if (Number.isFinite(input.valueAsNumber)) onchange(input.valueAsNumber);
      else input.value = input.defaultValue;
    },
  });
  return input;
}

/** Shows a number, unless the user is typing another one.
 * @param {HTMLInputElement} input @param {number} value */
export function setNumber(input, value) {
  input.defaultValue = String(value);
  if (input !== document.activeElement) input.value = input.defaultValue;
}

/** A number on a slider, shown beside it. Screen readers read it as the value of the slider.
 * @param {{min: number, max: number, step: number}} bounds @param {(value: number) => void} oninput
 * @param {(value: number) => string} textOf
 * @returns {{element: HTMLElement, set: (value: number) => void, input: HTMLInputElement}} */
export function slider(bounds, oninput, textOf) {
  const output = h("output", { "aria-live": "off" });
  const input = h("input", {
    type: "range", ...bounds,
    oninput: () => {
      output.textContent = textOf(input.valueAsNumber);
      oninput(input.valueAsNumber);
    },
  });
  const set = (/** @type {number} */ value) => {
    input.value = String(value);
    output.textContent = textOf(value);
  };
  return { element: h("span", { class: "slider" }, input, output), set, input };
}

/** Several choices in a row, of which one is pressed.
 * @param {readonly string[]} values @param {string} prefix of the keys of their texts @param {(value: string) => void} onchoose
 * @returns {{element: HTMLElement, set: (value: string | null) => void}} */
export function segments(values, prefix, onchoose) {
  const buttons = values.map((value) => h("button", { type: "button", dataset: { i18n: `${prefix}.${value}` }, onclick: () => onchoose(value) }));
  const set = (/** @type {string | null} */ chosen) =>
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(values[i] === chosen)));
  return { element: h("div", { class: "segments", role: "group", dataset: { i18nLabel: `${prefix}.group` } }, ...buttons), set };
}
