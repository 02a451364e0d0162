/** Short forms for building elements. */

/** Creates an element. Properties that the element has are set as such, all others as attributes.
 * @param {string} tag
 * @param {Record<string, any>} [properties] `on…` are listeners
 * @param {...(Node | string | null)} children
 * @returns {any} */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && name !== "list" && name !== "role") /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Fills an element anew. If a control in it had the focus, the new control of the same name has it then.
 * @param {HTMLElement} element
 * @param {...Node} children */
export function refill(element, ...children) {
  const focused = document.activeElement;
  const name = focused && element.contains(focused) ? nameOf(focused) : null;
  element.replaceChildren(...children);
  if (name) [.../** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll("button, select"))].find((other) => nameOf(other) === name)?.focus();
}

/** What tells a control from those beside it. @param {Element} control */
function nameOf(control) {
  const { i18n, i18nLabel, name } = /** @type {HTMLElement} */ (control).dataset;
  return name ?? i18nLabel ?? i18n ?? control.getAttribute("aria-label");
}

/** Creates an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {any} */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** The element of the page with this id, which must exist.
 * @param {string} id
 * @returns {any} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element;
}

/** Saves content as a file in the browser's folder of downloads.
 * @param {Blob} content @param {string} name */
export function saveFile(content, name) {
  const href = URL.createObjectURL(content);
  h("a", { href, download: name }).click();
  // A minute is enough for the browser to read the content, even if it asks the user for a folder.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
