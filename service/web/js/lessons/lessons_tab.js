/** The tab of the lessons, which shows one lesson at a time. */

import { h } from "../dom.js";
import { addTexts, currentLanguage, t } from "../i18n.js";
import { current, subscribe, update } from "../state.js";
import en from "./en.js";
import { fileView } from "./file_view.js";
import { neuronView } from "./neuron_view.js";
import { parametersTable } from "./parameters_view.js";
import { clear, goTo, point, unpoint } from "./pointing.js";
import { enter, leave, setUp } from "./session.js";
import { isSetUp, lessonAt, LESSONS, pieces } from "./steps.js";
import zh from "./zh.js";

/** @typedef {import("./steps.js").Lesson} Lesson */

/** Loads the style sheet of the lessons. @returns the function that builds the tab */
export async function loadLessons() {
  addTexts({ en, zh });
  await new Promise((resolve, reject) => {
    const href = new URL("../../lessons.css", import.meta.url).href;
    document.head.append(h("link", { rel: "stylesheet", href, onload: resolve, onerror: reject }));
  });
  return mountLessons;
}

/** Most lines of a program with space for the things to look at below it. With a longer program, they are below the text. */
const SHORT = 5;

/** The accuracy that each lesson's own setup reached, by its id.
 * @type {Map<string, number>} */
const reached = new Map();

/** @param {HTMLElement} panel */
function mountLessons(panel) {
  let shown = "";
  let refresh = () => {};
  subscribe(({ view }, changed) => {
    if (!changed.has("view") || view.drawer === "lessons") return;
    clear();
    // A lesson goes on while another tab is shown. It ends when the drawer is closed.
    if (view.drawer === null) leave();
  });
  return () => {
    const { number, lesson } = lessonAt(current().view.lesson);
    enter(number);
    const key = `${number} ${currentLanguage()}`;
    if (key !== shown) {
      shown = key;
      clear();
      refresh = build(panel, number, lesson);
    }
    refresh();
  };
}

/** Shows a lesson. @param {HTMLElement} panel @param {number} number @param {Lesson} lesson
 * @returns {() => void} updates the figures of the current training */
function build(panel, number, lesson) {
  const text = (/** @type {string} */ part) => withCode(t(`lessons.${lesson.id}.${part}`));
  const paragraphs = Array.from({ length: lesson.paragraphs }, (_, i) => h("p", {}, ...text(`text.${i + 1}`)));
  const start = h("button", { type: "button", class: "set-up", onclick: () => setUp(lesson) }, t("lessons.set_up"));
  const figures = h("p", { class: "reached" });
  const results = h("ul", { class: "results" });
  const sights = lesson.sights.map(({ name, target }, i) => h("li", {}, sightButton(name, target), " ", ...text(`look.${i + 1}`)));
  const question = h("details", { class: "question" }, h("summary", {}, h("b", {}, t("lessons.question")), " ", ...text("question")), h("p", {}, ...text("answer")));
  const { element: demonstration, refresh: refreshDemonstration } = demonstrationOf(lesson);
  panel.replaceChildren(
    header(number, lesson),
    h("div", { class: lesson.program.split("\n").length > SHORT ? "lesson tall" : "lesson" },
      h("div", { class: "told-by" }, ...paragraphs, h("div", { class: "start" }, start, figures), results),
      h("div", { class: "shown-by" }, demonstration),
      h("div", { class: "asked-by" }, h("h3", {}, t("lessons.look")), h("ul", { class: "sights" }, ...sights), question)));
  panel.parentElement?.scrollTo(0, 0);
  return () => {
    const isThere = isSetUp(current().setup, lesson);
    const { run } = current();
    const accuracy = run.metrics?.training_accuracy;
    const isItsOwn = isThere && run.status === "done" && run.network?.kind === lesson.kind;
    if (isItsOwn && accuracy != null) reached.set(lesson.id, accuracy);
    start.classList.toggle("primary", !isThere);
    figures.textContent = figuresText(lesson, isThere);
    results.replaceChildren(...LESSONS.filter(({ id }) => reached.has(id)).map(({ id }) => h("li", { "aria-current": id === lesson.id ? "true" : null }, `${t(`lessons.${id}.title`)} `, h("b", {}, percent(reached.get(id) ?? 0)))));
    refreshDemonstration();
  };
}

/** A button for each lesson, the title, and the buttons to go back, on, and away. @param {number} number @param {Lesson} lesson
 * @returns {HTMLElement} */
function header(number, lesson) {
  const heading = h("h2", { tabIndex: -1 }, t(`lessons.${lesson.id}.title`));
  const places = LESSONS.map(({ id }, i) => h("button", {
    type: "button", "aria-current": i + 1 === number ? "step" : null, "aria-label": `${i + 1}. ${t(`lessons.${id}.title`)}`, title: t(`lessons.${id}.title`),
    onclick: () => go(i + 1),
  }, String(i + 1)));
  const button = (/** @type {string} */ key, /** @type {() => void} */ onclick, disabled = false) => h("button", { type: "button", disabled, onclick }, t(key));
  return h("div", { class: "lesson-bar" },
    h("div", { class: "places", role: "group", "aria-label": t("lessons.places") }, ...places),
    heading, h("span", { class: "muted" }, t("lessons.progress", { number, all: LESSONS.length })), h("span", { class: "space" }),
    button("lessons.back", () => go(number - 1), number === 1),
    button("lessons.next", () => go(number + 1), number === LESSONS.length),
    button("lessons.close", () => {
      update({ view: { ...current().view, drawer: null } });
      document.getElementById("drawer-lessons")?.focus();
    }));
}

/** Opens a lesson, and sets the focus to its heading. @param {number} lesson */
function go(lesson) {
  update({ view: { ...current().view, lesson } });
  /** @type {HTMLElement | null} */ (document.querySelector(".lesson-bar h2"))?.focus();
}

/** @param {string} name @param {string} target */
function sightButton(name, target) {
  return h("button", {
    type: "button", class: "sight", onpointerenter: () => point(target), onpointerleave: unpoint, onfocus: () => point(target), onblur: unpoint, onclick: () => goTo(target),
  }, t(name));
}

/** What a lesson shows beside its text, and the function that updates it. @param {Lesson} lesson
 * @returns {{element: HTMLElement, refresh: () => void}} */
function demonstrationOf({ demonstration, program, kind }) {
  if (demonstration === "neuron") return { element: neuronView(), refresh: () => {} };
  const code = h("pre", { class: "program" }, program);
  if (demonstration === "file") return { element: h("div", {}, code, fileView()), refresh: () => {} };
  const parameters = h("div");
  /** @type {unknown} */
  let drawn = null;
  const refresh = () => {
    const { picture, run } = current();
    const network = run.network?.kind === kind ? picture?.network : null;
    if (!network || network === drawn) return;
    drawn = network;
    parameters.replaceChildren(parametersTable(network));
  };
  return { element: h("div", {}, code, parameters), refresh };
}

/** The figures of the current training as text. @param {Lesson} lesson @param {boolean} isThere whether the page has the setup of the lesson
 * @returns {string} */
function figuresText(lesson, isThere) {
  const { run, points, setup } = current();
  if (run.status === "training") return t("lessons.training");
  const { training_accuracy: accuracy, training_loss: loss } = run.metrics ?? {};
  const isOther = !isThere && LESSONS.some((other) => isSetUp(setup, other));
  if (accuracy == null || isOther || !(isThere || reached.has(lesson.id))) return t("lessons.not_set_up");
  const wrong = Math.round((1 - accuracy) * points.points.length);
  const figures = t("lessons.figures", { accuracy: percent(accuracy), wrong, all: points.points.length, loss: loss?.toFixed(4) ?? "–" });
  return isThere ? figures : `${t("lessons.changed")} ${figures}`;
}

/** @param {number} share */
function percent(share) {
  return t("lessons.percent", { percent: (100 * share).toFixed(2) });
}

/** @param {string} text @returns {(Node | string)[]} */
function withCode(text) {
  return pieces(text).map((piece, i) => (i % 2 ? h("code", {}, piece) : piece));
}
