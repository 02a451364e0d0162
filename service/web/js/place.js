/** The place on the page. The address names it, so that links and the back button of the browser work. */

import { readPlace, setupOf, withPlace } from "./logic/place.js";

/** @typedef {import("./logic/place.js").Place} Place */

/** @type {((place: Place) => void)[]} */
const listeners = [];

/** @returns {Place} */
export function here() {
  return readPlace(location.hash.slice(1));
}

/** Goes to a place. Fields that are left out stay as they are.
 * @param {Partial<Place>} changes */
export function go(changes) {
  const next = withPlace(location.hash.slice(1), { ...here(), ...changes });
  history.pushState(null, "", next ? `#${next}` : location.pathname + location.search);
  arrive();
}

/** Calls the listener whenever the place has changed.
 * @param {(place: Place) => void} listener */
export function onArrival(listener) {
  listeners.push(listener);
}

/** Follows the address when the user goes back or types another one. If the setup differs, the page is loaded again. */
export function followAddress() {
  addEventListener("hashchange", ({ oldURL, newURL }) => {
    const [before, after] = [oldURL, newURL].map((url) => setupOf(new URL(url).hash.slice(1)));
    if (before === after) arrive();
    else location.reload();
  });
}

function arrive() {
  for (const listener of listeners) listener(here());
}
