/** Programs that train what is shown, and the files to take away. */

import { needsKey, pathOf, queryOf, requestFile, urlOf } from "../api.js";
import { h, saveFile } from "../dom.js";
import { t } from "../i18n.js";
import { published, PROGRAMS } from "../logic/code.js";
import { trainingRequest } from "../logic/setup.js";
import { levelOf } from "../pictures.js";
import { showProblem } from "../problems.js";
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
    const point = (points.points[0]?.length ?? 2) === 2 ? [0.5, -0.25] : points.points[0];
    text.textContent = PROGRAMS[language]({ base, request: published(trainingRequest(setup, points), "my-model"), point, needsKey: needsKey() });
    files.replaceChildren(...(run.target ? downloads(run.target) : []));
  }
  return render;
}

/** Links to the network and to its picture as files. A click sends a request of the page instead of following the link: so it carries
 * the key, and a refusal is shown in the words of the service.
 * @param {import("../state.js").Target} target */
function downloads(target) {
  const { view, window, shownEpoch, run } = current();
  const axes = view.axes.join(",");
  const epoch = shownEpoch === run.epochs ? null : shownEpoch;
  const picture = { ...queryOf(target), axes, ...(window ?? {}), epoch, resolution: 800 };
  const response = ["label", "entropy"].includes(view.response) ? view.response : null;
  const level = levelOf(run.order);
  const line = response === "label" ? { threshold: level } : { levels: level };
  const checkpoint = `${pathOf(target)}/checkpoint`;
  /** @type {Record<string, [string, Record<string, any>]>} */
  const files = {
    pth: [checkpoint, { format: "pth" }],
    onnx: [checkpoint, { format: "onnx" }],
    png: ["boundary-grid", { ...picture, format: "png", response, ...line, overlay: "points,line" }],
    svg: ["boundary-grid", { ...picture, format: "svg", levels: level }],
  };
  return Object.entries(files).map(([format, [path, query]]) => {
    const name = `separatrix.${format}`;
    const onclick = (/** @type {Event} */ event) => {
      event.preventDefault();
      save(path, query, name).catch(showProblem);
    };
    return h("a", { href: urlOf(path, query), download: name, class: "button", onclick }, t(`file.${format}`));
  });
}

/** Saves an answer of the service as a file.
 * @param {string} path @param {Record<string, any>} query @param {string} name */
async function save(path, query, name) {
  saveFile(await requestFile(path, query), name);
}
