/** Starts the page: builds its parts and connects them. */

import * as api from "./api.js";
import { canTrain, readDatasets, readFile, readPoints } from "./data.js";
import { byId } from "./dom.js";
import { currentLanguage, preferredLanguage, setLanguage, t, translate } from "./i18n.js";
import { START } from "./logic/place.js";
import { FIRST_SETUP } from "./logic/setup.js";
import { showPicture } from "./pictures.js";
import { followAddress, go, here } from "./place.js";
import { mountPlayback, playOrPause, reset, step } from "./playback.js";
import { mountNotice, noteConnection, showProblem } from "./problems.js";
import { fromAddress, share } from "./share.js";
import { current, start, subscribe, update } from "./state.js";
import { mountTabs } from "./tabs.js";
import { isDark, setTheme } from "./theme.js";
import { cancelOnLeave, forget, NO_RUN, train } from "./training.js";
import { mountData } from "./view/data_view.js";
import { mountDrawer, onDemand } from "./view/drawer_view.js";
import { mountHelp, showHelp } from "./view/help_view.js";
import { mountLayers } from "./view/layers_tab.js";
import { mountNetwork } from "./view/network_view.js";
import { mountNumbers } from "./view/numbers_tab.js";
import { mountOutput } from "./view/output_view.js";

/** A single change is trained at once; of changes that follow each other faster than this many milliseconds, the last one. */
const REST_MS = 60;

/** Milliseconds between questions whether the service answers again. */
const OFFLINE_MS = 2000;

/** The model that the service trains at its first start with the settings of the first setup: shown at once. */
const FIRST_MODEL = "flower-sequential";

/** Shows the page in a language.
 * @param {import("./i18n.js").Language} language */
function showIn(language) {
  setLanguage(language);
  localStorage.setItem("language", language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  byId("language").textContent = t("language.other");
  byId("language").lang = language === "zh" ? "en" : "zh-Hans";
  translate(document);
  dispatchEvent(new Event("languagechange-page"));
}

/** @param {string} theme */
function showTheme(theme) {
  setTheme(theme);
  showThemeButton();
  dispatchEvent(new Event("themechange-page"));
}

/** The button shows the theme that it leads to. */
function showThemeButton() {
  const text = t(isDark() ? "theme.light" : "theme.dark");
  byId("theme").classList.toggle("dark", isDark());
  byId("theme").setAttribute("aria-label", text);
  byId("theme").title = text;
}

/** Trains whatever setup the page has, soon after it changed. */
function trainChanges() {
  let trained = trainedKey();
  /** @type {number | undefined} */
  let waiting;
  let changedAt = 0;
  subscribe((_, changed) => {
    const key = trainedKey();
    if (current().isDragging || key === trained) return;
    trained = key;
    clearTimeout(waiting);
    // A stored version was opened together with its setup. It is trained already.
    if (changed.has("setup") && changed.has("run")) return;
    const isSingle = performance.now() - changedAt > REST_MS;
    changedAt = performance.now();
    waiting = setTimeout(() => (canTrain() ? train() : forget()), isSingle ? 0 : REST_MS);
  });
}

/** @type {WeakMap<object, number>} */
const numbers = new WeakMap();
let counted = 0;

/** What the training depends on. Drawn points count as the objects that they are. */
function trainedKey() {
  const { setup, points } = current();
  if (setup.data.type !== "drawn") return JSON.stringify(setup);
  const parts = [points.points, points.labels, points.classes].map((part) => {
    if (!numbers.has(part)) numbers.set(part, counted++);
    return numbers.get(part);
  });
  return JSON.stringify([setup, parts]);
}

/** While the service does not answer, asks now and then; once it does, trains what has changed meanwhile. */
function askWhileOffline() {
  /** @type {number | undefined} */
  let asking;
  subscribe(({ offlineSince }, changed) => {
    if (!changed.has("offlineSince")) return;
    clearInterval(asking);
    if (offlineSince) asking = setInterval(() => api.requestJson("health/live").catch(() => {}), OFFLINE_MS);
    else if (current().run.status === "failed" && canTrain()) train();
    else showPicture();
  });
}

/** Files may be dropped anywhere on the page. The playground shows them. */
function acceptFiles() {
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    if (here().tab !== START.tab) go(START);
    readFile(file);
  });
}

function connectControls() {
  byId("play").addEventListener("click", playOrPause);
  byId("step").addEventListener("click", () => step(1));
  byId("reset").addEventListener("click", reset);
  byId("share").addEventListener("click", share);
  byId("language").addEventListener("click", () => showIn(currentLanguage() === "en" ? "zh" : "en"));
  byId("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    localStorage.setItem("theme", theme);
    showTheme(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showTheme(document.documentElement.dataset.theme ?? "auto"));
  addEventListener("keydown", onKey);
  cancelOnLeave();
  subscribe((_, changed) => ["run", "isPlaying", "shownEpoch"].some((key) => changed.has(/** @type {any} */ (key))) && showTransport());
  addEventListener("languagechange-page", () => (showTransport(), showThemeButton()));
}

/** Shows the state of the training in the bar. */
function showTransport() {
  const { run, shownEpoch, isPlaying } = current();
  const isRunning = isPlaying || run.live === "running";
  byId("play").classList.toggle("playing", isRunning);
  const key = isRunning ? "transport.pause" : run.live ? "transport.resume" : "transport.play";
  byId("play").dataset.i18nLabel = key;
  byId("play").setAttribute("aria-label", t(key));
  byId("play").title = t(key);
  byId("step").disabled = byId("reset").disabled = !run.snapshots.length;
  const epoch = (shownEpoch ?? run.epoch).toLocaleString("en");
  const version = run.target && "model" in run.target ? `· ${run.target.model}:${run.target.version}` : "";
  const seconds = run.seconds === null ? version : t("transport.seconds", { ms: Math.round(1000 * run.seconds).toLocaleString("en") });
  byId("epoch").textContent = run.status === "training" ? t(run.live === "paused" ? "transport.paused" : "transport.training", { epoch }) : `${t("transport.epoch", { epoch })} ${seconds}`;
  document.body.dataset.status = run.status;
}

/** Keys that work wherever nothing else uses them.
 * @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const isTyping = target.matches("input:not([type=range]), select, textarea");
  const isControl = target.matches("button, a, summary, input, select, textarea");
  if (byId("playground").hidden) return;
  if (isTyping || target.closest("dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  const { points, view } = current();
  const digit = Number(event.key) - 1;
  if (event.key === " " && !isControl) playOrPause();
  else if (event.key === "ArrowRight" && !isOtherSlider(target)) step(1);
  else if (event.key === "ArrowLeft" && !isOtherSlider(target)) step(-1);
  else if (event.key === "Home" && !isOtherSlider(target)) reset();
  else if (event.key >= "1" && digit < points.classes.length) update({ view: { ...view, brush: digit } });
  else if (event.key.toLowerCase() === "e") update({ view: { ...view, brush: "erase" } });
  else if (event.key === "?") showHelp();
  else return;
  event.preventDefault();
}

/** @param {HTMLElement} element */
function isOtherSlider(element) {
  return element.matches("input[type=range]:not(.epochs)");
}

/** Shows the trained model that the service has anyway, which is that of the first setup. While it is not
 * trained yet, `models/NAME` would answer 404, which the browser logs as an error. So the page reads the list of models, from
 * this name on. */
async function showKept() {
  const { data: [found] } = await api.requestJson("models", { query: { after: FIRST_MODEL.slice(0, -1), limit: 1 } });
  if (current().run.target || found?.name !== FIRST_MODEL || !found.served_version) return;
  const { served_version: version, latest } = found;
  const { network, training } = FIRST_SETUP;
  const { epochs } = training;
  update({ run: { ...current().run, status: "done", target: { model: FIRST_MODEL, version }, epoch: epochs, epochs, metrics: latest?.metrics ?? null, network, training } });
  await showPicture();
}

/** Shows something at once, and then trains. What the first picture does not need is asked for after it. */
async function begin() {
  // A stored version was opened from the other tab.
  if (current().run.target) return readDatasets();
  readPoints().catch(showProblem);
  const isFirst = JSON.stringify(current().setup) === JSON.stringify(FIRST_SETUP);
  // An operator may have deleted the model; then the training is shown.
  if (isFirst) await showKept().catch(() => {});
  readDatasets().catch(showProblem);
  await train();
}

/** Reads the modules of the programs. @returns what builds their tab */
async function readCode() {
  await Promise.all(["./logic/code.js", "./view/code_tab.js"].map(api.fetchModule));
  return (await import("./view/code_tab.js")).mountCode;
}

/** Reads the modules of the comparison. @returns what builds its tab */
async function readCompare() {
  await Promise.all(["./comparison.js", "./view/compare_tab.js"].map(api.fetchModule));
  return (await import("./view/compare_tab.js")).mountCompare;
}

/** Reads the modules of the lessons. @returns what builds their tab */
async function readLessons() {
  await api.fetchModule("./lessons/lessons_tab.js");
  return (await import("./lessons/lessons_tab.js")).loadLessons();
}

/** Reads the modules of the tab of models, and builds it. */
async function openModels() {
  await api.fetchModule("./models/tab.js");
  const { mountModels } = await import("./models/tab.js");
  mountModels(byId("models"));
}

const { setup, view, window: place } = fromAddress();
start({
  setup, view, window: place,
  points: { points: [], labels: [], classes: [], names: null, total: 0, validation: null, predicted: null, probabilities: null },
  run: NO_RUN,
  picture: null, shownEpoch: null, isPlaying: false, datasets: [], file: null, isDragging: false, lag: 0, cursor: null, problem: null, offlineSince: null,
});
mountNotice();
mountPlayback();
api.onConnection(noteConnection);
api.onKeyNeeded(() => prompt(t("key.ask")));
mountData(byId("data"));
mountNetwork(byId("network"));
mountOutput(byId("output"));
mountDrawer(byId("drawer"), [
  { id: "code", mount: onDemand(readCode) },
  { id: "numbers", mount: mountNumbers },
  { id: "layers", mount: mountLayers },
  { id: "compare", mount: onDemand(readCompare) },
  { id: "lessons", mount: onDemand(readLessons) },
]);
mountHelp(byId("help"));
connectControls();
acceptFiles();
showTheme(localStorage.getItem("theme") ?? "auto");
showIn(/** @type {any} */ (localStorage.getItem("language")) ?? preferredLanguage(navigator.languages));
update({ view });
trainChanges();
askWhileOffline();
followAddress();
mountTabs({ playground: begin, models: openModels });
