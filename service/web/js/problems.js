/** Refusals and lost connections, in the words of the service. */

import { Offline, Problem } from "./api.js";
import { byId, h } from "./dom.js";
import { currentLanguage, languageOf, t, translated } from "./i18n.js";
import { current, subscribe, update } from "./state.js";

/** Shows an error beside the control that caused it, or in the bar.
 * @param {unknown} error */
export function showProblem(error) {
  if (error instanceof Offline) return;
  if (error instanceof Problem) return update({ problem: { field: error.field, text: textOf(error) } });
  if (error instanceof DOMException && error.name === "AbortError") return;
  console.error(error);
  update({ problem: { field: null, text: String(error) } });
}

/** What is wrong and what to do. A refused file needs no word about where in the request it is.
 * @param {Problem} problem */
function textOf({ status, sentence, message, errors, field }) {
  if (field === "body") return errors.map(({ detail }) => detail).join(" ");
  return status === 404 ? sentence : message;
}

/** The warnings that the user has closed. */
let closed = "";

/** Connects the bar with the state. */
export function mountNotice() {
  byId("notice").lastChild.addEventListener("click", () => {
    if (!current().problem) closed = current().run.warnings.join();
    update({ problem: null });
  });
  subscribe((state, changed) => {
    if (changed.has("offlineSince") || changed.has("problem") || changed.has("run")) render();
  });
  addEventListener("languagechange-page", render);
}

/** Keeps since when the service has not answered.
 * @param {boolean} isOnline */
export function noteConnection(isOnline) {
  const { offlineSince } = current();
  if (isOnline && offlineSince) update({ offlineSince: null });
  if (!isOnline && !offlineSince) update({ offlineSince: new Date() });
}

function render() {
  const { offlineSince, problem, run } = current();
  const beside = problem?.field ? document.querySelector(`[data-field="${CSS.escape(problem.field)}"]`) : null;
  for (const marked of document.querySelectorAll(".refused")) marked.classList.remove("refused");
  beside?.classList.add("refused");
  const warnings = run.warnings.join() === closed ? [] : run.warnings.map(translated);
  const texts = offlineSince
    ? [t("notice.offline", { since: offlineSince.toLocaleTimeString(currentLanguage()) })]
    : problem ? [problem.text] : warnings;
  const bar = byId("notice");
  bar.hidden = !texts.length;
  // Screen readers would read the same text again.
  if (bar.firstChild.textContent !== texts.join(" ")) {
    bar.firstChild.replaceChildren(...texts.map((text, i) => h("span", { lang: languageOf(text) }, i ? ` ${text}` : text)));
  }
  bar.lastChild.hidden = Boolean(offlineSince);
  bar.classList.toggle("bad", Boolean(offlineSince || problem));
}
