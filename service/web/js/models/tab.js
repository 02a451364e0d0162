/** The tab of models: what is published, the jobs that publish it, and comparisons of versions. */

import { h } from "../dom.js";
import { addTexts, translate } from "../i18n.js";
import { here, onArrival } from "../place.js";
import { subscribe } from "../state.js";
import { choiceBar } from "./choice.js";
import { mountComparison } from "./comparison/comparison_view.js";
import en from "./i18n/en.js";
import zh from "./i18n/zh.js";
import { mountJobs } from "./jobs/jobs_view.js";
import { mountList } from "./versions/list_view.js";
import { mountModel } from "./versions/model_view.js";

/** @param {HTMLElement} root */
export function mountModels(root) {
  addTexts({ en, zh });
  const main = h("section", { class: "panel" });
  const jobs = h("section", { class: "panel jobs" });
  let choice = choiceBar();
  /** @type {() => void} */
  let refresh = () => {};
  let shown = "";

  /** Builds what the place names, and reads it. */
  function show() {
    const place = here();
    if (place.tab !== "models") return;
    const key = JSON.stringify(place);
    if (key !== shown) build(place);
    shown = key;
    refresh();
    read();
  }

  /** @param {import("../logic/place.js").Place} place */
  function build({ model, compare }) {
    const part = h("div");
    if (compare) refresh = mountComparison(part, compare);
    else refresh = model ? mountModel(part, model) : mountList(part);
    main.replaceChildren(choice, part);
    translate(main);
  }

  const { read, write } = mountJobs(jobs, () => refresh());
  root.append(main, jobs);
  onArrival(show);
  addEventListener("languagechange-page", () => {
    choice = choiceBar();
    shown = "";
    write();
    show();
  });
  subscribe(({ offlineSince }, changed) => {
    if (changed.has("offlineSince") && !offlineSince) show();
  });
  show();
}
