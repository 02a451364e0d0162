/** Two versions side by side. */

/** @param {HTMLElement} root @param {[string, string]} pair @returns {() => Promise<void>} */
export function mountComparison(root, pair) {
  return async () => {};
}
