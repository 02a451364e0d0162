/** The drawer below the page. Each of its tabs is built when it is first opened, and drawn again when the state changes. */

import { h } from "../dom.js";
import { current, subscribe, update } from "../state.js";
import { t, translate } from "../i18n.js";

/** A tab. `mount` fills its panel and returns what draws it again.
 * @typedef {{id: string, mount: (panel: HTMLElement) => () => void}} Tab */

/** A tab whose modules are fetched when it is first opened, so that a first visit does not wait for them. If that fails,
 * the next drawing tries again.
 * @param {() => Promise<Tab["mount"]>} load
 * @returns {Tab["mount"]} */
export function onDemand(load) {
  return (panel) => {
    /** @type {(() => void) | null} */
    let render = null;
    let isLoading = false;
    return () => {
      if (render || isLoading) return render?.();
      isLoading = true;
      panel.textContent = t("drawer.loading");
      load().then((mount) => {
        panel.replaceChildren();
        render = mount(panel);
        translate(panel);
        render();
      }).catch((error) => {
        console.error(error);
        panel.textContent = t("drawer.unavailable");
      }).finally(() => (isLoading = false));
    };
  };
}

/** @param {HTMLElement} root @param {Tab[]} tabs */
export function mountDrawer(root, tabs) {
  /** @type {Map<string, {panel: HTMLElement, render: () => void}>} */
  const built = new Map();
  const open = (/** @type {string | null} */ drawer) => update({ view: { ...current().view, drawer } });
  const buttons = tabs.map(({ id }) => h("button", {
    type: "button", role: "tab", id: `drawer-${id}`, "aria-controls": `drawer-panel-${id}`, dataset: { i18n: `drawer.${id}` },
    onclick: () => open(current().view.drawer === id ? null : id),
  }));
  const panels = h("div", { class: "panels" });
  root.append(h("div", { class: "drawer-tabs", role: "tablist", dataset: { i18nLabel: "drawer.label" } }, ...buttons), panels);

  function render() {
    const { drawer } = current().view;
    const chosen = tabs.find(({ id }) => id === drawer);
    buttons.forEach((button, i) => button.setAttribute("aria-selected", String(tabs[i] === chosen)));
    root.classList.toggle("open", Boolean(chosen));
    if (chosen && !built.has(chosen.id)) {
      const panel = h("div", { role: "tabpanel", id: `drawer-panel-${chosen.id}`, "aria-labelledby": `drawer-${chosen.id}`, tabIndex: 0 });
      panels.append(panel);
      built.set(chosen.id, { panel, render: chosen.mount(panel) });
      translate(panel);
    }
    for (const [id, { panel }] of built) panel.hidden = id !== drawer;
    if (chosen) built.get(chosen.id)?.render();
  }

  subscribe((_, changed) => {
    const isOpen = Boolean(current().view.drawer);
    if (changed.has("view") || (isOpen && !current().isPlaying && ["run", "points", "picture", "offlineSince"].some((key) => changed.has(/** @type {any} */ (key))))) render();
  });
  addEventListener("languagechange-page", render);
}
