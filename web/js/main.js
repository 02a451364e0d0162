/** Starts the page: builds its parts and connects them. */

import { byId } from "./dom.js";
import { currentLanguage, preferredLanguage, setLanguage, t, translate } from "./i18n.js";
import { FIRST_SETUP, FIRST_VIEW } from "./logic/setup.js";
import { start } from "./state.js";

/** Shows the page in a language.
 * @param {import("./i18n.js").Language} language */
function showIn(language) {
  setLanguage(language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  byId("language").textContent = t("language.other");
  byId("language").lang = language === "zh" ? "en" : "zh-Hans";
  translate(document);
}

byId("language").addEventListener("click", () => showIn(currentLanguage() === "en" ? "zh" : "en"));
showIn(preferredLanguage(navigator.languages));
start({
  setup: FIRST_SETUP,
  view: FIRST_VIEW,
  points: { points: [], labels: [], classes: [], names: null, validation: null, predicted: null },
  run: { status: "none", target: null, epoch: 0, epochs: 0, snapshots: [], seconds: null, metrics: null, history: null,
         network: null, training: null, warnings: [] },
  shownEpoch: null,
  isPlaying: false,
  problem: null,
  offlineSince: null,
});
