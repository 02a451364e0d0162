/** The points: from generators, stored datasets and files, or drawn. */

import * as api from "./api.js";
import { t } from "./i18n.js";
import { pointsOf } from "./logic/points.js";
import { MAX_CLASSES } from "./logic/setup.js";
import { showProblem } from "./problems.js";
import { current, update } from "./state.js";

const EXAMPLE_POINTS = 120;
/** Most files of one name. */
const MAX_NAMESAKES = 20;

/** Counts reads of points, so that an older answer never replaces a newer one. */
let reads = 0;

/** Reads which datasets there are, with an example of each generator. */
export async function readDatasets() {
  const all = await api.datasets();
  const detailed = await Promise.all(all.map(async (dataset) => {
    if (dataset.type !== "generated") return api.requestJson(`datasets/${encodeURIComponent(dataset.name)}`);
    return { ...dataset, example: pointsOf(await api.datasetPoints(dataset.name, { n: EXAMPLE_POINTS })) };
  }));
  // A file that was stored meanwhile may be missing in the list.
  const stored = current().datasets.filter(({ name }) => !detailed.some((dataset) => dataset.name === name));
  update({ datasets: [...detailed, ...stored] });
  const { data } = current().setup;
  const own = data.type === "stored" ? detailed.find(({ name }) => name === data.dataset) : null;
  if (own && data.type === "stored" && own.digest !== data.digest) update({ problem: { field: null, text: t("data.changed", { name: own.name }) } });
}

/** @type {Promise<void>} */
let reading = Promise.resolve();

/** Whether the last reading failed, as it does while the service cannot be reached. */
let hasFailed = false;

/** Resolves when the points of a stored dataset are known, and with them its classes; else at once. Points that could not
 * be read are read again.
 * @returns {Promise<void>} */
export function pointsReady() {
  if (hasFailed) return readPoints();
  return current().setup.data.type === "stored" ? reading : Promise.resolve();
}

/** Reads the points of the present data, unless they are drawn.
 * @returns {Promise<void>} */
export function readPoints() {
  hasFailed = false;
  reading = read();
  reading.catch(() => (hasFailed = true));
  return reading;
}

async function read() {
  const { data } = current().setup;
  const mine = ++reads;
  if (data.type === "drawn") return;
  const { n, noise, seed, n_classes } = /** @type {any} */ (data);
  const query = data.type === "generated" ? { n, noise, seed, n_classes } : {};
  const answer = await api.datasetPoints(data.dataset, query);
  if (mine !== reads) return;
  const points = pointsOf(answer);
  const { view } = current();
  // A link may name axes that the data do not have.
  const isShown = view.axes.every((axis) => axis < (points.points[0]?.length ?? 2));
  update({ points, ...(isShown ? {} : { view: { ...view, axes: [0, 1] } }) });
}

/** Replaces settings of a generator, and reads its points.
 * @param {any} changes */
export function setData(changes) {
  const { setup, view } = current();
  const data = { ...setup.data, ...changes };
  const brush = view.brush === "erase" ? "erase" : 0;
  update({ setup: { ...setup, data }, view: { ...view, brush }, window: null, file: null });
  readPoints().catch(showProblem);
}

/** @param {any} dataset a generator */
export function chooseGenerator(dataset) {
  const { setup, points } = current();
  const wanted = setup.data.type === "generated" ? setup.data.n_classes : points.classes.length;
  const n_classes = Math.min(Math.max(2, wanted), dataset.max_classes);
  const { n, noise, seed } = dataset.defaults;
  update({ setup: { ...setup, network: { ...setup.network, scale: "none" } }, view: { ...current().view, axes: [0, 1] } });
  setData({ type: "generated", dataset: dataset.name, n, noise, seed, n_classes });
}

/** @param {string} name of a stored dataset */
export function chooseStored(name) {
  const { setup, view, datasets } = current();
  const { digest, features, categories } = datasets.find((dataset) => dataset.name === name);
  if (features.length < 2) return update({ problem: { field: "data.dataset", text: t("data.one_feature", { name }) } });
  const isText = (/** @type {string} */ feature) => Object.keys(categories ?? {}).some((column) => feature.startsWith(`${column}=`));
  const measured = [...features.keys()].filter((i) => !isText(features[i].name) && features[i].min < features[i].max);
  const axes = measured.length >= 2 ? measured.slice(0, 2) : [0, 1];
  update({ setup: { ...setup, network: { ...setup.network, inputs: [], scale: "standard" } }, view: { ...view, axes } });
  setData({ type: "stored", dataset: name, digest });
}

/** Stores a file under its own name, and shows it. If it is refused, the page asks how to read it.
 * @param {File} file @param {Record<string, any>} [reading] what the service cannot infer */
export async function readFile(file, reading = {}) {
  try {
    const stored = await store(nameOf(file.name), file, reading);
    update({ datasets: [...current().datasets.filter(({ name }) => name !== stored.name), stored], file: null, problem: null });
    chooseStored(stored.name);
  } catch (error) {
    update({ file });
    showProblem(error);
  }
}

/** Stores a file. Other content under the name stays: then a number follows the name.
 * @param {string} name @param {File} file @param {Record<string, any>} reading
 * @returns {Promise<any>} the stored dataset */
async function store(name, file, reading, number = 1) {
  try {
    return await api.storeFile(number === 1 ? name : `${name}-${number}`, file, reading);
  } catch (error) {
    const isTaken = error instanceof api.Problem && (error.code === "dataset-exists" || error.code === "dataset-reserved");
    if (!isTaken || number === MAX_NAMESAKES) throw error;
    return store(name, file, reading, number + 1);
  }
}

/** A name that datasets may have. @param {string} fileName */
function nameOf(fileName) {
  const stem = fileName.toLowerCase().replace(/\.[^.]*$/, "").replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "");
  return stem.slice(0, 60) || "file";
}

/** Shows as many classes: of a generator that can have them, else as brushes for drawn points.
 * @param {number} count */
export function chooseClasses(count) {
  const { setup, points, datasets, view } = current();
  if (count < 2 || (count > MAX_CLASSES && count > points.classes.length)) return;
  const { data } = setup;
  const generator = data.type === "generated" ? datasets.find(({ name }) => name === data.dataset) : null;
  if (generator && count <= generator.max_classes) return setData({ n_classes: count });
  if (!hasAll()) return;
  const classes = points.classes.slice(0, count);
  while (classes.length < count) classes.push(nextLabel(classes));
  const kept = points.labels.map((label, i) => (label < count ? i : -1)).filter((i) => i >= 0);
  setPoints({ ...points, classes, points: kept.map((i) => points.points[i]), labels: kept.map((i) => points.labels[i]) });
  const brush = typeof view.brush === "number" ? Math.min(view.brush, count - 1) : view.brush;
  update({ view: { ...current().view, brush } });
}

/** A label that no class has yet, and that comes after all in the order of the service. @param {(string | number)[]} classes */
function nextLabel(classes) {
  const last = classes.reduce((most, label) => (label > most ? label : most));
  if (typeof last === "number") return last + 1;
  const [, stem, number] = /** @type {RegExpExecArray} */ (/^(.*?)(?: (\d+))?$/s.exec(last));
  const label = `${stem} ${Number(number ?? 1) + 1}`;
  return label > last ? label : `${last} 2`;
}

/** Begins with an empty plane. */
export function clearPoints() {
  const { points, view, picture } = current();
  const classes = points.classes.length ? points.classes : [0, 1];
  update({ window: picture?.plane.window ?? { x_min: -5, x_max: 5, y_min: -5, y_max: 5 }, picture: null });
  setPoints({ ...points, classes, points: [], labels: [], names: null });
  update({ view: { ...view, axes: [0, 1], brush: 0 } });
}

/** Makes points those that are drawn. The window stays where it is, so that nothing jumps while points move.
 * @param {import("./state.js").Points} points */
export function setPoints(points) {
  const { setup, picture, window } = current();
  reads++;
  const drawn = { ...points, total: points.points.length, validation: null, predicted: null, probabilities: null };
  if (setup.data.type === "drawn") return update({ points: drawn });
  // The service sorts the classes of stored points: with names in another order, a shared link would swap the colors.
  if (!isSorted(points.classes)) drawn.classes = [...points.classes.keys()];
  update({ points: drawn, setup: { ...setup, data: { type: "drawn" } }, window: window ?? picture?.plane.window ?? null });
}

/** @param {(string | number)[]} classes */
function isSorted(classes) {
  return classes.every((label, i) => i === 0 || classes[i - 1] < label);
}

/** Whether the page has all points of the data. Says so if not: a change would throw the others away. */
export function hasAll() {
  const { points } = current();
  if (points.points.length < points.total) update({ problem: { field: null, text: t("data.too_many", partOf(points)) } });
  return points.points.length >= points.total;
}

/** How many points are shown, and of how many, as text. @param {import("./state.js").Points} points */
export function partOf(points) {
  return { shown: points.points.length.toLocaleString("en"), all: points.total.toLocaleString("en") };
}

/** Whether points can be trained on: at least one of two classes. */
export function canTrain() {
  const { setup, points } = current();
  return setup.data.type !== "drawn" || new Set(points.labels).size >= 2;
}
