/** The pictures of the network that is shown: the plane, the boundary, the hidden units and the weights. */

import * as api from "./api.js";
import { t } from "./i18n.js";
import { showProblem } from "./problems.js";
import { likeliest } from "./logic/metrics.js";
import { denseLayers } from "./logic/network.js";
import { FIRST_VIEW } from "./logic/setup.js";
import { current, update } from "./state.js";

/** Cells along each side: of the plane, of the map of a unit, and of the warped lattice. */
const PLANE = 100;
const UNIT = 40;
const LATTICE = 41;

/** Pictures of epochs that were shown, so that the slider and repeated playing ask for each only once.
 * @type {Map<string, import("./state.js").Picture>} */
const kept = new Map();
const KEPT = 150;

/** The plane of a network that is not shown yet.
 * @type {{key: string, plane: Promise<import("./state.js").Picture>} | null} */
let ahead = null;

/** Counts requests for pictures: a picture never replaces a newer one. */
let asked = 0;
let shown = 0;

/** What a picture depends on, and what is asked for it.
 * @param {Readonly<import("./state.js").State>} state */
function requestOf({ run, shownEpoch, view, window }) {
  const place = { axes: view.axes.join(","), ...(window ?? {}) };
  const epoch = shownEpoch === null || shownEpoch === run.epochs ? {} : { epoch: shownEpoch };
  const threshold = run.order.length === 2 ? view.threshold : null;
  return { key: JSON.stringify([run.target, epoch, place, view.response, run.order, threshold]), query: { ...place, ...epoch } };
}

/** Reads the plane of a network, so that `showPicture` has it as soon as the network is that of the state. Does not fail:
 * `showPicture` tells errors.
 * @param {import("./state.js").Run} run @param {number | null} shownEpoch */
export async function readAhead(run, shownEpoch) {
  if (!run.target) return;
  const { key, query } = requestOf({ ...current(), run, shownEpoch });
  ahead = { key, plane: pictureOf(run.target, query, run.order, current().view.response) };
  await ahead.plane.catch(() => {});
}

/** The plane that was read ahead, if it is that of the key. It is used once: after a failure, it is asked for again.
 * @param {string} key */
function takeAhead(key) {
  const plane = ahead?.key === key ? ahead.plane : null;
  ahead = null;
  return plane;
}

/** Shows the present target at the present epoch, in the present view.
 * @param {boolean} [isQuick] leaves the maps and weights of the units as they are */
export async function showPicture(isQuick = false) {
  const { run, shownEpoch, view } = current();
  if (!run.target) return;
  if (run.live === "paused") return showPaused();
  const mine = ++asked;
  const { key, query } = requestOf(current());
  /** @param {import("./state.js").Picture} picture */
  const show = (picture) => {
    if (mine < shown) return;
    shown = mine;
    update({ picture: { ...picture, epoch: shownEpoch ?? run.epochs } });
  };
  try {
    const found = kept.get(key);
    if (found) return show(found);
    // The plane comes first, because the user waits for it. Requested together with it, maps and weights would delay it.
    const outside = await (takeAhead(key) ?? pictureOf(run.target, query, run.order, isQuick ? undefined : view.response));
    const { units = [], lattices = [], network = null } = current().picture ?? {};
    show({ ...outside, units, lattices, network });
    if (isQuick && network) return;
    const picture = { ...outside, ...(await readInside(run.target, query, view.response)) };
    // The network of a running training is another one with the next epoch.
    if (!run.live) keep(key, picture);
    show(picture);
  } catch (error) {
    // A job that waits or has just ended has no network. What follows shows the next one.
    if (error instanceof api.Problem && current().run.status === "training") return;
    // A training expires when nobody reads it, and a version may be deleted. Then playing trains again.
    if (error instanceof api.Problem && error.status === 404 && current().run.target === run.target) update({ run: { ...run, target: null, snapshots: [] }, shownEpoch: null });
    update({ isPlaying: false });
    showProblem(error);
  }
}

let isReadingLines = false;

/** Draws the boundary where the threshold is now. While the threshold moves, one request follows another. Frames of a running
 * training have no boundary. */
export async function moveBoundary() {
  if (isReadingLines || current().run.live) return;
  isReadingLines = true;
  try {
    for (let threshold = null; threshold !== current().view.threshold; ) {
      ({ threshold } = current().view);
      const { run, picture } = current();
      if (!run.target || !picture) break;
      const lines = await api.lines(run.target, { ...requestOf(current()).query, resolution: PLANE, levels: levelOf(run.order) });
      if (current().picture === picture) update({ picture: { ...picture, lines } });
    }
  } catch (error) {
    showProblem(error);
  }
  isReadingLines = false;
}

/** Removes the picture. One that is still being read will not be shown. */
export function forgetPicture() {
  shown = ++asked;
  update({ picture: null });
}

/** Shows a frame of a running training, and what frames do not have.
 * @param {any} data of an event `boundary` */
export function showFrame(data) {
  const { picture, run, view } = current();
  if (!hasView(data.response, view.response)) return void (run.live === "running" && showNewest());
  shown = ++asked;
  const bytes = bytesOf(data.values_base64);
  const values = data.response === "label" ? bytes.map((label) => run.order[label]) : Float32Array.from(bytes, (byte) => (run.order[0] > run.order[1] ? 255 - byte : byte) * data.scale);
  const plane = { shape: data.shape, values, window: data.window, colors: data.colors };
  const units = (data.layers ?? []).map((/** @type {any} */ layer) => ({ ...plane, shape: layer.shape, values: new Int8Array(bytesOf(layer.values_base64).buffer) }));
  update({ picture: { kind: data.response, pair: pairOf(run.order), plane, lines: [], units, network: picture?.network ?? null, lattices: [], epoch: data.epoch } });
  if (run.live === "running") showWeights();
}

/** Whether a plane has what a view shows: all views but the warped one follow from the probabilities of two classes.
 * @param {string} kind of the plane @param {string} response of the view */
function hasView(kind, response) {
  return kind === response || (kind === "probability" && response !== "warped");
}

/** Says what to do if the view needs the network, which a paused training does not have. */
function showPaused() {
  const { picture, view: { response } } = current();
  const isThere = picture && (response === "warped" ? picture.lattices.length > 0 : hasView(picture.kind, response));
  update({ problem: isThere ? null : { field: null, text: t("view.paused") } });
}

/** @param {string} base64 */
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The calls of `oneAtATime` functions that have not ended.
 * @type {Set<Promise<void>>} */
const underWay = new Set();

/** A function that does nothing while its last call goes on. @param {() => Promise<void>} work */
export function oneAtATime(work) {
  let isBusy = false;
  return async () => {
    if (isBusy) return;
    isBusy = true;
    const doing = work().finally(() => (isBusy = false, underWay.delete(doing)));
    underWay.add(doing);
    await doing;
  };
}

/** Resolves when no network of a running training is being read. The service refuses such reads once the training is paused. */
export function networkRead() {
  return Promise.allSettled(underWay);
}

/** Shows the newest network of a running training in a view that frames do not have. */
export const showNewest = oneAtATime(() => showPicture());

/** Shows the newest weights of a running training. */
const showWeights = oneAtATime(async () => {
  const { target } = current().run;
  // A training that has just ended has none; its result follows.
  const layers = target && (await api.layers(target).catch(() => null));
  const { run, picture } = current();
  if (layers && picture && run.target === target) update({ picture: { ...picture, network: denseLayers(layers) } });
});

/** The two classes of a probability, in the order of the page. @param {number[]} order */
function pairOf(order) {
  return order.slice(0, 2).sort((one, other) => one - other);
}

/** @param {string} key @param {import("./state.js").Picture} picture */
function keep(key, picture) {
  kept.delete(key);
  kept.set(key, picture);
  if (kept.size > KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
}

/** The `levels` for the boundary of two classes: the probability of the class that the service lists second. None for the usual threshold.
 * @param {number[]} order */
export function levelOf(order) {
  const { threshold } = current().view;
  if (order.length !== 2 || threshold === FIRST_VIEW.threshold) return undefined;
  return order[0] > order[1] ? 1 - threshold : threshold;
}

/** The plane and the boundary of a network, without its inside.
 * @param {import("./state.js").Target} target @param {Record<string, any>} query @param {number[]} order of its classes
 * @param {string} [response]
 * @returns {Promise<import("./state.js").Picture>} */
export async function pictureOf(target, query, order, response) {
  const shown = order.length > 2 && response === "probability" ? "probabilities" : response === "entropy" ? response : undefined;
  const { grid, lines } = await api.gridAndLines(target, { ...query, resolution: PLANE, response: shown, levels: levelOf(order) });
  const plane = shown === "probabilities" ? withLabels(grid) : grid;
  const kind = response === "entropy" ? response : plane.values instanceof Uint8Array ? "label" : "probability";
  const isFlipped = kind === "probability" && order[0] > order[1];
  if (isFlipped) plane.values = plane.values.map((/** @type {number} */ p) => 1 - p);
  if (kind === "label") plane.values = plane.values.map((/** @type {number} */ label) => order[label]);
  return { kind, pair: pairOf(order), plane, lines, units: [], lattices: [], network: null, epoch: 0 };
}

/** Labels and certainties in place of the probabilities of all classes.
 * @param {import("./state.js").Grid} grid (classes, height, width)
 * @returns {import("./state.js").Grid} */
function withLabels(grid) {
  const [classes, ...shape] = grid.shape;
  const { labels, certainty } = likeliest(grid.values, classes);
  return { ...grid, shape, values: labels, certainty };
}

/** What is inside the network: the maps of its units, and its weights.
 * @param {import("./state.js").Target} target @param {Record<string, any>} query @param {string} response */
async function readInside(target, query, response) {
  /** @type {number[]} */
  const hidden = [...(current().run.network?.hidden ?? []).keys()];
  const [layers, units, lattices] = await Promise.all([
    api.layers(target, { epoch: query.epoch }),
    Promise.all(hidden.map((layer) => api.grid(target, { ...query, resolution: UNIT, response: "activation", layer }))),
    response === "warped"
      ? Promise.all(hidden.map((layer) => api.grid(target, { ...query, resolution: LATTICE, response: "embedding", layer })))
      : [],
  ]);
  return { network: layers.n_networks > 1 ? null : denseLayers(layers), units, lattices };
}
