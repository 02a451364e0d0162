/** All requests to the service. Nothing else on the page fetches. Paths are relative to the page, so that it works below
 * any prefix. */

import { eventsOf } from "./logic/event_stream.js";
import { readNpy } from "./logic/npy.js";
import { joined, spreadOffsets } from "./logic/points.js";
import { SHOWN_POINTS } from "./logic/setup.js";

/** @typedef {import("./state.js").Target} Target */

/** Points of each page, if only some points are read. */
const PAGE = 300;

/** A refusal of the service, in its own words. */
export class Problem extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.detail ?? body?.error ?? `HTTP ${status}`);
    this.status = status;
    /** What was refused, and why. @type {string} */
    this.sentence = body?.error ?? this.message;
    /** @type {string} */
    this.code = body?.code ?? "http";
    /** @type {{in: string, field: string, detail: string}[]} */
    this.errors = body?.errors ?? [];
  }

  /** The first field that the service names, such as `training.learning_rate`.
   * @returns {string | null} */
  get field() {
    return this.errors[0]?.field ?? null;
  }
}

/** The service did not answer at all. */
export class Offline extends Error {}

/** @type {(isOnline: boolean) => void} */
let reportConnection = () => {};

/** Calls the listener after each request: whether the service answered.
 * @param {(isOnline: boolean) => void} listener */
export function onConnection(listener) {
  reportConnection = listener;
}

/** @type {() => string | null} */
let askForKey = () => null;

/** Sets the function that asks for a key when the service needs one. It returns the key that the user gives, or null.
 * @param {() => string | null} listener */
export function onKeyNeeded(listener) {
  askForKey = listener;
}

/** The key that was given, kept until the tab is closed. */
const KEY = "separatrix-key";

/** Whether the service needs a key, which the user has given. */
export function needsKey() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Whether the user gave no key when asked. The page then asks again only after a reload. */
let isRefused = false;

/** Whether the page now has another key than the refused one. Of several refused requests, only the first asks the user.
 * @param {string | null} refused */
function hasAnotherKey(refused) {
  if (sessionStorage.getItem(KEY) === refused && !isRefused) {
    const given = askForKey()?.trim();
    isRefused = !given || !/^[!-~]+$/.test(given);
    if (given && !isRefused) sessionStorage.setItem(KEY, given);
  }
  return sessionStorage.getItem(KEY) !== refused;
}

/** The URL of a path of the API, with a query.
 * @param {string} path without a leading slash
 * @param {Record<string, any>} [query] fields without a value are left out
 * @returns {string} */
export function urlOf(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** Sends a request and returns the response if it is a success.
 * @param {string} path
 * @param {{query?: Record<string, any>, method?: string, json?: any, body?: BodyInit, headers?: Record<string, string>,
 *          signal?: AbortSignal, keepalive?: boolean}} [options]
 * @returns {Promise<Response>} */
export async function request(path, options = {}) {
  const { query, method, json, signal, keepalive } = options;
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  const body = json === undefined ? options.body : JSON.stringify(json);
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(urlOf(path, query), { method: method ?? (body === undefined ? "GET" : "POST"), headers, body, signal, keepalive });
  } catch (error) {
    if (signal?.aborted) throw error;
    reportConnection(false);
    throw new Offline(String(error));
  }
  reportConnection(true);
  if (response.ok) return response;
  if (response.status === 401 && hasAnotherKey(key)) return request(path, options);
  throw new Problem(response.status, await response.json().catch(() => null));
}

/** @param {string} path @param {Parameters<typeof request>[1]} [options] @returns {Promise<any>} */
export async function requestJson(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

/** An answer that is a file, such as a picture or a checkpoint.
 * @param {string} path @param {Record<string, any>} query
 * @returns {Promise<Blob>} */
export async function requestFile(path, query) {
  return (await request(path, { query, headers: { Accept: "*/*" } })).blob();
}

/** Fetches a module, so that an import of it succeeds. Browsers remember an import that failed and never try it again.
 * @param {string} path relative to this module */
export async function fetchModule(path) {
  await request(new URL(path, import.meta.url).href, { headers: { Accept: "*/*" } });
}

/** The path of a job or of a version.
 * @param {Target} target */
export function pathOf(target) {
  return "job" in target ? `jobs/${target.job}` : `models/${target.model}/versions/${target.version}`;
}

/** The query that names a job or a version.
 * @param {Target} target
 * @returns {Record<string, any>} */
export function queryOf(target) {
  return "job" in target ? { job: target.job } : { model: target.model, version: target.version };
}

/** @returns {Promise<any[]>} the generators and the stored datasets */
export async function datasets() {
  const found = [];
  let page;
  do {
    page = await requestJson("datasets", { query: { limit: 100, after: page?.last_id } });
    found.push(...page.data);
  } while (page.has_more);
  return found;
}

/** Labelled points of a dataset: if there are very many, a part from everywhere in the data.
 * @param {string} name @param {Record<string, any>} [query]
 * @returns {Promise<any>} */
export function datasetPoints(name, query) {
  return somePoints(`datasets/${encodeURIComponent(name)}/points`, query);
}

/** At most `SHOWN_POINTS` points of a resource. If it has more, they come from pages that are spread over all.
 * @param {string} path @param {Record<string, any>} [query] @returns {Promise<any>} */
async function somePoints(path, query) {
  const first = await requestJson(path, { query: { limit: SHOWN_POINTS, ...query } });
  if (!first.has_more) return first;
  const pages = spreadOffsets(first.n_points, SHOWN_POINTS, PAGE).map((offset) => requestJson(path, { query: { ...query, limit: PAGE, offset } }));
  return joined(await Promise.all(pages));
}

/** Stores a file as a dataset, and says how it was understood.
 * @param {string} name @param {Blob} file @param {Record<string, any>} [query] */
export function storeFile(name, file, query = {}) {
  const type = /\.(csv|tsv|txt)$/i.test(/** @type {File} */ (file).name ?? "") ? "text/csv" : "application/octet-stream";
  return requestJson(`datasets/${encodeURIComponent(name)}`, {
    method: "POST", body: file, query: { categorical: "one-hot", ...query }, headers: { "Content-Type": type },
  });
}

/** Stores points as a dataset.
 * @param {string} name @param {{points: number[][], labels: (string | number)[], feature_names?: string[]}} points */
export function storePoints(name, points) {
  return requestJson(`datasets/${encodeURIComponent(name)}`, { json: points });
}

/** Starts a training, and waits for its end up to `wait` seconds.
 * @param {any} body @param {number} wait @param {AbortSignal} [signal]
 * @returns {Promise<any>} the job */
export function train(body, wait, signal) {
  return requestJson("train", { json: body, headers: { Prefer: `wait=${wait}` }, signal });
}

/** A job. Waits for its end up to `wait` seconds.
 * @param {string} id @returns {Promise<any>} */
export function job(id, wait = 0) {
  return requestJson(`jobs/${id}`, wait ? { headers: { Prefer: `wait=${wait}` } } : {});
}

/** @param {string} id @param {{keepalive?: boolean}} [options] `keepalive` sends it although the page is left */
export function cancel(id, options) {
  return requestJson(`jobs/${id}/cancel`, { method: "POST", ...options });
}

/** @param {string} id @param {"pause" | "resume"} action */
export function control(id, action) {
  return requestJson(`jobs/${id}/${action}`, { method: "POST" });
}

/** The values of a grid, with what its headers say.
 * @param {Target} target @param {Record<string, any>} query @param {AbortSignal} [signal]
 * @returns {Promise<{shape: number[], values: any, window: import("./logic/plane.js").Window, colors: string[]}>} */
export async function grid(target, query, signal) {
  const response = await request("boundary-grid", { query: { ...queryOf(target), ...query, format: "npy" }, headers: { Accept: "*/*" }, signal });
  const { shape, values } = readNpy(await response.arrayBuffer());
  const [x_min, x_max, y_min, y_max] = (response.headers.get("Separatrix-Window") ?? "").split(",").map(Number);
  const colors = (response.headers.get("Separatrix-Colors") ?? "").split(",").filter(Boolean);
  return { shape, values, window: { x_min, x_max, y_min, y_max }, colors };
}

/** A grid of the plane, and the boundary in it as lines. One response has both, since the user waits for it.
 * @param {Target} target @param {Record<string, any>} query
 * @returns {Promise<{grid: import("./state.js").Grid, lines: number[][][]}>} */
export async function gridAndLines(target, query) {
  const { shape, values, window, colors, response, lines } = await requestJson("boundary-grid", { query: { ...queryOf(target), ...query, overlay: "line" } });
  const cells = values.flat(shape.length - 1);
  const grid = { shape, values: response === "label" ? Uint8Array.from(cells) : Float32Array.from(cells), window, colors };
  return { grid, lines: lines.map(coordinatesOf) };
}

/** The boundary as lines.
 * @param {Target} target @param {Record<string, any>} query
 * @returns {Promise<number[][][]>} */
export async function lines(target, query) {
  const collection = await requestJson("boundary-grid", { query: { ...queryOf(target), ...query, format: "geojson" }, headers: { Accept: "*/*" } });
  return collection.features.map(coordinatesOf);
}

/** @param {any} feature of GeoJSON */
function coordinatesOf({ geometry }) {
  return geometry.coordinates;
}

/** The weights of a network as a file: its `state_dict`.
 * @param {Target} target */
export function stateDict(target) {
  return requestFile(`${pathOf(target)}/checkpoint`, { format: "pth" });
}

/** Publishes the network of a file as the next version of a model.
 * @param {string} model @param {Blob} file @param {Record<string, any>} query what the file does not contain
 * @returns {Promise<any>} the version */
export function publishFile(model, file, query) {
  return requestJson(`models/${model}/versions`, { body: file, query, headers: { "Content-Type": "application/octet-stream" } });
}

/** @param {Target} target @param {Record<string, any>} [query] */
export function layers(target, query) {
  return requestJson(`${pathOf(target)}/layers`, { query });
}

/** What a network says about points.
 * @param {Target} target @param {number[][]} points @param {string[]} outputs @param {Record<string, any>} [fields] */
export function predict(target, points, outputs, fields = {}) {
  return requestJson("predict", { json: { ...queryOf(target), points, outputs, ...fields } });
}

/** @param {Target} target @returns {Promise<any>} */
export function history(target) {
  return requestJson(`${pathOf(target)}/history`);
}

/** Training points with what the network says about them: if there are very many, the same part as of their dataset.
 * @param {Target} target
 * @returns {Promise<any>} */
export function trainingPoints(target) {
  return somePoints(`${pathOf(target)}/points`);
}

/** Milliseconds before a lost event stream is requested again. */
const RETRY_MS = 1000;

/** Milliseconds without data after which an event stream counts as lost. The service sends something every 15 seconds. */
const SILENCE_MS = 40_000;

/** Follows a job until it has ended.
 * @param {string} id @param {Record<string, any>} query
 * @param {Record<string, (data: any) => void>} handlers by type of event
 * @param {AbortSignal} signal stops following
 * @returns {Promise<void>} */
export function follow(id, query, handlers, signal) {
  return followEvents(`jobs/${id}/events`, query, ({ type, data }) => {
    handlers[type]?.(data);
    return type === "done";
  }, signal);
}

/** Reads a stream of events up to its last one. A lost stream is requested again, from the last event that arrived. So is a stream
 * that the service refuses with 503 because it has too many.
 * @param {string} path @param {Record<string, any>} query
 * @param {(event: any) => boolean} handle is called with each event, and returns whether it is the last one
 * @param {AbortSignal} signal stops reading
 * @returns {Promise<void>} fails with the `Problem` of the service, if it refuses the stream */
export async function followEvents(path, query, handle, signal) {
  let last = "";
  while (!signal.aborted) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    try {
      const response = await request(path, { query, headers, signal });
      if (!response.body || response.status === 204) return;
      for await (const event of eventsOf(textOf(response.body))) {
        last = event.id;
        if (handle(JSON.parse(event.data))) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Offline) reportConnection(false);
      else if (!(error instanceof Problem && error.status === 503)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** The text of a response as it arrives, until the service ends it or falls silent.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>} fails with `Offline` if the connection is lost */
async function* textOf(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  try {
    while (true) {
      const silence = setTimeout(() => reader.cancel(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      yield /** @type {string} */ (value);
    }
  } catch (error) {
    throw new Offline(String(error));
  } finally {
    reader.cancel().catch(() => {});
  }
}
