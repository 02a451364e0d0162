/** The tabs of the page. The modules of a tab other than the first are read when it is first opened. */

import { byId } from "./dom.js";
import { here, go, onArrival } from "./place.js";
import { showProblem } from "./problems.js";
import { subscribe } from "./state.js";

/** Something to do when a tab is first shown. It resolves once the tab can be used.
 * @typedef {() => unknown} Opening */

/** Connects the tabs, and shows that of the address. An opening that fails is tried again when the tab is shown again, and
 * when the service answers again.
 * @param {Record<"playground" | "models", Opening>} openings by tab, whose button is `tab-ID` and whose panel is `ID` */
export function mountTabs(openings) {
  const tabs = /** @type {("playground" | "models")[]} */ (Object.keys(openings));
  /** @type {Set<string>} */
  const opened = new Set();

  function show() {
    const { tab } = here();
    for (const id of tabs) {
      byId(id).hidden = id !== tab;
      byId(`tab-${id}`).setAttribute("aria-selected", String(id === tab));
      byId(`tab-${id}`).tabIndex = id === tab ? 0 : -1;
    }
    document.body.dataset.tab = tab;
    if (!opened.has(tab)) open(tab);
  }

  /** @param {"playground" | "models"} tab */
  async function open(tab) {
    opened.add(tab);
    try {
      await openings[tab]();
    } catch (error) {
      opened.delete(tab);
      showProblem(error);
    }
  }

  tabs.forEach((id, i) => {
    byId(`tab-${id}`).addEventListener("click", () => here().tab === id || go({ tab: id }));
    byId(`tab-${id}`).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const next = placeOf(event.key, i, tabs.length);
      if (next === null) return;
      event.preventDefault();
      event.stopPropagation();
      go({ tab: tabs[next] });
      byId(`tab-${tabs[next]}`).focus();
    });
  });
  onArrival(show);
  subscribe(({ offlineSince }, changed) => {
    if (changed.has("offlineSince") && !offlineSince) show();
  });
  show();
}

/** The tab that a key leads to, if any.
 * @param {string} key @param {number} i @param {number} count
 * @returns {number | null} */
function placeOf(key, i, count) {
  if (key === "ArrowRight") return (i + 1) % count;
  if (key === "ArrowLeft") return (i - 1 + count) % count;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}
