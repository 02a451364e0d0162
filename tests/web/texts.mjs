import assert from "node:assert/strict";

/**
 * The places for values in a text, such as `{epoch}`, in alphabetical order.
 *
 * @param {string} text
 */
const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

/**
 * Asserts that two languages have the same texts with the same places for values.
 *
 * @param {Record<string, string>} en
 * @param {Record<string, string>} zh
 */
export function assertSameTexts(en, zh) {
  assert.deepEqual(Object.keys(en).sort(), Object.keys(zh).sort());
  for (const key of Object.keys(en)) assert.deepEqual(places(zh[key]), places(en[key]), key);
}
