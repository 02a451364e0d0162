/** Refusals beside what caused them, in the words of the service. */

import { Offline, Problem } from "../api.js";
import { h } from "../dom.js";

/** A line for a refusal, and what does something that the service may refuse.
 * @returns {{element: HTMLElement, attempt: (work: () => Promise<void>) => Promise<boolean>}} `attempt` says whether it worked */
export function refusals() {
  const element = h("p", { class: "problem", role: "alert", hidden: true });
  const show = (/** @type {string} */ text) => {
    element.textContent = text;
    element.hidden = !text;
  };
  return {
    element,
    async attempt(work) {
      try {
        await work();
        show("");
        return true;
      } catch (error) {
        if (!(error instanceof Problem || error instanceof Offline)) console.error(error);
        // The bar says since when the service has not answered.
        show(error instanceof Offline ? "" : error instanceof Problem ? error.sentence : String(error));
        return false;
      }
    },
  };
}
