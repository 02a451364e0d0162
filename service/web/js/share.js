/** The setup in the address: read at the start, and written when a link is made. */

import * as api from "./api.js";
import { canTrain } from "./data.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { fragmentOf, readFragment } from "./logic/link.js";
import { here } from "./place.js";
import { showProblem } from "./problems.js";
import { current, update } from "./state.js";

/** The setup, the view and the window that the address names. */
export function fromAddress() {
  return readFragment(location.hash.slice(1));
}

/** Copies a link to what is shown. */
export async function share() {
  const isPlayground = here().tab === "playground";
  if (isPlayground && !canTrain()) return update({ problem: { field: null, text: t("data.too_few") } });
  try {
    // On other tabs, the address already names what is shown.
    if (isPlayground) await writeSetup();
    // Pages over plain HTTP have no clipboard.
    const isCopied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    byId("share").textContent = t(isCopied ? "share.copied" : "share.in_address");
    setTimeout(() => (byId("share").textContent = t("share.button")), 2000);
  } catch (error) {
    showProblem(error);
  }
}

/** Writes the setup into the address. Drawn points are stored as a dataset first, so that a short link names them. */
async function writeSetup() {
  const { setup, view, window } = current();
  const data = setup.data.type === "drawn" ? await storeDrawn() : setup.data;
  history.replaceState(null, "", `#${fragmentOf({ ...setup, data }, view, window)}`);
}

/** Stores the drawn points. On the page they stay drawn, with the colors that their classes have.
 * @returns {Promise<import("./logic/setup.js").Data>} the data that a link names */
async function storeDrawn() {
  const { points, datasets } = current();
  const labels = points.labels.map((label) => points.classes[label]);
  const body = { points: points.points, labels, ...(points.names ? { feature_names: points.names } : {}) };
  const name = `drawn-${shortDigest(JSON.stringify(body))}`;
  const stored = await api.storePoints(name, body);
  update({ datasets: [...datasets.filter((dataset) => dataset.name !== name), stored] });
  return { type: "stored", dataset: name, digest: stored.digest };
}

/** Twelve hexadecimal digits that differ for other text: the same points have the same name.
 * @param {string} text */
function shortDigest(text) {
  // Pages over plain HTTP have no `crypto.subtle`: FNV-1a twice, for a name and not for security.
  const hash = (/** @type {number} */ start) => [...text].reduce((sum, character) => Math.imul(sum ^ character.charCodeAt(0), 16777619) >>> 0, start);
  return (hash(2166136261).toString(16) + hash(84696351).toString(16)).slice(0, 12);
}
