/** Lists of the service as tables, page by page. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { refusals } from "./said.js";

/** Makes `wanted` the children of an element. Those that are in place already are not touched, so they keep the focus.
 * @param {HTMLElement} parent @param {Element[]} wanted */
export function place(parent, wanted) {
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((element, i) => parent.children[i] === element || parent.insertBefore(element, parent.children[i] ?? null));
}

/** @param {{read: (after: string | null) => Promise<any>, columns: string[], row: (item: any) => HTMLElement[], empty: () => HTMLElement}} list
 * `columns` are keys of texts; `row` builds the rows of an item
 * @returns {{element: HTMLElement, refresh: () => Promise<void>}} `refresh` reads as many items again as are shown */
export function pagedList({ read, columns, row, empty }) {
  /** @type {any[]} */
  let items = [];
  /** @type {string | null} */
  let next = null;
  let isRead = false;
  let reads = 0;
  /** The rows of each item, by its JSON: an unchanged item keeps its rows. @type {Map<string, HTMLElement[]>} */
  let rows = new Map();
  const { element: said, attempt } = refusals();
  const body = h("tbody");
  const table = h("table", { class: "list", hidden: true }, h("thead", {}, h("tr", {}, ...columns.map((key) => h("th", { scope: "col" }, t(key))))), body);
  const nothing = h("div", { hidden: true });
  const more = h("button", { type: "button", hidden: true, onclick: () => attempt(async () => add(await read(next))) }, t("models.more"));
  const element = h("div", { class: "paged", "aria-busy": "true" }, said, table, nothing, more);

  /** @param {any} page */
  function add(page) {
    items = [...items, ...page.data];
    next = page.has_more ? page.last_id : null;
    render();
  }

  function render() {
    element.removeAttribute("aria-busy");
    rows = new Map(items.map((item) => JSON.stringify(item)).map((key) => [key, rows.get(key) ?? row(JSON.parse(key))]));
    place(body, [...rows.values()].flat());
    table.hidden = !items.length;
    nothing.hidden = items.length > 0 || !isRead;
    if (!nothing.hidden) nothing.replaceChildren(empty());
    more.hidden = next === null;
  }

  async function refresh() {
    const mine = ++reads;
    const shown = items.length;
    await attempt(async () => {
      let page = await read(null);
      const found = [...page.data];
      while (page.has_more && found.length < shown) {
        page = await read(page.last_id);
        found.push(...page.data);
      }
      if (mine !== reads) return;
      isRead = true;
      items = [];
      add({ ...page, data: found });
    });
  }

  return { element, refresh };
}
