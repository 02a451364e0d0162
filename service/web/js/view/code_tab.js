/** Programs that train what is shown, and the files to take away. */

import { pathOf, queryOf, urlOf } from "../api.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { published, PROGRAMS } from "../logic/code.js";
import { trainingRequest } from "../logic/setup.js";
import { current } from "../state.js";
import { segments } from "./controls.js";

/** @param {HTMLElement} panel */
export function mountCode(panel) {
  /** @type {keyof typeof PROGRAMS} */
  let language = "curl";
  const choose = segments(Object.keys(PROGRAMS), "code", (value) => {
    language = /** @type {any} */ (value);
    render();
  });
  const text = h("code");
  const copy = h("button", { type: "button", onclick: async () => {
    getSelection()?.selectAllChildren(text);
    // Without a clipboard, as over plain HTTP, the program is selected at least.
    await navigator.clipboard?.writeText(text.textContent ?? "");
    copy.textContent = t(navigator.clipboard ? "code.copied" : "code.selected");
  } });
  const files = h("div", { class: "files" });
  panel.append(h("div", { class: "row" }, choose.element, copy, h("span", { class: "space" }), files), h("pre", { tabIndex: 0 }, text));

  function render() {
    const { setup, points, run } = current();
    choose.set(language);
    copy.textContent = t("code.copy");
    const base = urlOf("");
    text.textContent = PROGRAMS[language]({ base, request: published(trainingRequest(setup, points), "my-model") });
    files.replaceChildren(...(run.target ? downloads(run.target) : []));
  }
  return render;
}

/** Links to the network and to its picture as files.
 * @param {import("../state.js").Target} target */
function downloads(target) {
  const { view, window } = current();
  const axes = view.axes.join(",");
  const picture = { ...queryOf(target), axes, ...(window ?? {}), resolution: 800 };
  const links = {
    pth: urlOf(`${pathOf(target)}/checkpoint`, { format: "pth" }),
    onnx: urlOf(`${pathOf(target)}/checkpoint`, { format: "onnx" }),
    png: urlOf("boundary-grid", { ...picture, format: "png", overlay: "points,line" }),
    svg: urlOf("boundary-grid", { ...picture, format: "svg" }),
  };
  return Object.entries(links).map(([format, href]) => h("a", { href, download: `separatrix.${format}`, class: "button" }, t(`file.${format}`)));
}
