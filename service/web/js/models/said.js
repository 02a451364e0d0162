/** Refusals of the service, shown beside the control that caused them. */

import { Offline, Problem } from "../api.js";
import { h } from "../dom.js";
import { languageOf } from "../i18n.js";

/** A line that shows a refusal, and a function that calls `work` and shows its refusal there.
 * @returns {{element: HTMLElement, attempt: (work: () => Promise<void>) => Promise<boolean>}} `attempt` resolves to whether the work succeeded */
export function refusals() {
  const element = h("p", { class: "said", role: "alert", hidden: true });
  const show = (/** @type {string} */ text) => {
    element.textContent = text;
    element.lang = languageOf(text);
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
        // The notice of the page says since when the service has not answered.
        show(error instanceof Offline ? "" : error instanceof Problem ? error.sentence : String(error));
        return false;
      }
    },
  };
}
