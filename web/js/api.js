/** All requests to the service. Nothing else on the page fetches. Paths are relative to the page, so that it works below
 * any prefix. */

import { readNpy } from "./logic/npy.js";

/** @typedef {import("./state.js").Target} Target */

/** A refusal of the service, in its own words. */
export class Problem extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.detail ?? body?.error ?? `HTTP ${status}`);
    this.status = status;
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
 *          signal?: AbortSignal}} [options]
 * @returns {Promise<Response>} */
export async function request(path, options = {}) {
  const { query, method, json, signal } = options;
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  const body = json === undefined ? options.body : JSON.stringify(json);
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(urlOf(path, query), { method: method ?? (body === undefined ? "GET" : "POST"), headers, body, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    reportConnection(false);
    throw new Offline(String(error));
  }
  reportConnection(true);
  if (response.ok) return response;
  throw new Problem(response.status, await response.json().catch(() => null));
}

/** @param {string} path @param {Parameters<typeof request>[1]} [options] @returns {Promise<any>} */
export async function requestJson(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
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
