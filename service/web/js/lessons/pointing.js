/** Marks the control of the page that a lesson refers to. */

/** @type {HTMLElement | null} */
let pointed = null;
let isPinned = false;

/** Marks an element. The one marked before loses its mark.
 * @param {string} selector */
export function point(selector) {
  clear();
  pointed = document.querySelector(selector);
  pointed?.classList.add("pointed");
}

/** Removes the mark, unless a click made it stay. */
export function unpoint() {
  if (!isPinned) clear();
}

/** Marks an element until another one is marked, scrolls it into view, and sets the focus to it if it is a control.
 * @param {string} selector */
export function goTo(selector) {
  point(selector);
  if (!pointed) return;
  isPinned = true;
  pointed.scrollIntoView({ block: "nearest" });
  const controls = "input:not(:disabled), select:not(:disabled), button:not(:disabled)";
  const control = pointed.matches(`${controls}, canvas`) ? pointed : pointed.matches("label") ? pointed.querySelector(controls) : null;
  /** @type {HTMLElement | null} */ (control)?.focus({ preventScroll: true });
  // What is typed next replaces the value.
  if (control instanceof HTMLInputElement) control.select();
}

/** Marks nothing. */
export function clear() {
  pointed?.classList.remove("pointed");
  pointed = null;
  isPinned = false;
}
