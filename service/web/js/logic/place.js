/** The place on the page, as fields of the fragment of its address. All other fields are the setup of the playground. */

/** A tab, the model whose versions it shows, and the two versions that it compares, each as `MODEL:VERSION` or `MODEL:ALIAS`.
 * @typedef {{tab: "playground" | "models", model: string | null, compare: [string, string] | null}} Place */

/** @type {Place} */
export const START = { tab: "playground", model: null, compare: null };

const FIELDS = ["tab", "model", "compare"];

/** The place that a fragment names. A wrong field counts as left out.
 * @param {string} fragment without `#`
 * @returns {Place} */
export function readPlace(fragment) {
  const fields = new URLSearchParams(fragment);
  if (fields.get("tab") !== "models") return START;
  const [a, b, ...more] = (fields.get("compare") ?? "").split(",");
  return { tab: "models", model: fields.get("model") || null, compare: a && b && !more.length ? [a, b] : null };
}

/** A fragment that names the place, and the same setup as before.
 * @param {string} fragment without `#` @param {Place} place
 * @returns {string} */
export function withPlace(fragment, { tab, model, compare }) {
  const fields = new URLSearchParams(setupOf(fragment));
  if (tab !== START.tab) fields.set("tab", tab);
  if (model) fields.set("model", model);
  if (compare) fields.set("compare", compare.join(","));
  // A fragment may contain both characters, and they are easier to read unescaped.
  return fields.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
}

/** What a fragment says about the setup.
 * @param {string} fragment without `#`
 * @returns {string} */
export function setupOf(fragment) {
  const fields = new URLSearchParams(fragment);
  for (const field of FIELDS) fields.delete(field);
  return fields.toString();
}
