/** Pictures of the service. They are fetched and not linked, since an `<img>` sends no key. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf } from "./choice.js";
import { thumbnail } from "./requests.js";

/** What to do once an element has come into sight.
 * @type {WeakMap<Element, () => void>} */
const waiting = new WeakMap();

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    waiting.get(target)?.();
  }
}, { rootMargin: "100px" });

/** Thumbnails that were shown, so that a list that is drawn again shows them at once.
 * @type {Map<string, HTMLElement>} */
const known = new Map();
/** Most thumbnails that are kept. */
const KNOWN = 500;

/** The boundary of a version, read when it comes into sight.
 * @param {import("./requests.js").Version} version
 * @returns {HTMLElement} */
export function thumbnailOf(version) {
  const key = nameOf(version);
  const frame = known.get(key) ?? newFrame(version);
  if (known.size >= KNOWN) known.clear();
  known.set(key, frame);
  /** @type {any} */ (frame.firstChild).alt = t("models.picture", version);
  return frame;
}

/** @param {import("./requests.js").Version} version @returns {HTMLElement} */
function newFrame(version) {
  const image = h("img");
  const frame = h("span", { class: "thumbnail" }, image);
  waiting.set(frame, () => show(image, thumbnail(version)));
  sight.observe(frame);
  return frame;
}

/** Shows a picture once it has arrived. If the service refuses it, the reason becomes a tooltip.
 * @param {HTMLImageElement} image @param {Promise<Blob>} reading */
export async function show(image, reading) {
  try {
    const url = URL.createObjectURL(await reading);
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  } catch (error) {
    image.parentElement?.setAttribute("title", /** @type {Error} */ (error).message);
  }
}
