/** The requests of this tab, through `api.js`. */

import { pathOf, Problem, request, requestFile, requestJson } from "../api.js";

/** A stored version. @typedef {{model: string, version: number}} Version */

/** Number of models, versions or jobs on one page of a list. */
const PAGE = 20;

/** Cells along each side of a thumbnail: two for each CSS pixel, for dense screens. */
const THUMBNAIL = 128;

/** The formats in which the page offers a version as a file. */
export const FORMATS = ["pth", "safetensors", "onnx", "torch-export", "module", "json", "py"];

/** @param {string} model */
const modelPath = (model) => `models/${encodeURIComponent(model)}`;

/** A page of the models, by name. @param {string | null} after `last_id` of the page before */
export const models = (after) => requestJson("models", { query: { limit: PAGE, after } });

/** @param {string} name */
export const model = (name) => requestJson(modelPath(name));

/** A page of the versions, newest first. @param {string} name @param {string | null} after */
export const versions = (name, after) => requestJson(`${modelPath(name)}/versions`, { query: { limit: PAGE, after } });

/** @param {Version} version */
export const version = (version) => requestJson(pathOf(version));

/** @param {Version} version */
export const deleteVersion = (version) => requestJson(pathOf(version), { method: "DELETE" });

/** @param {string} name */
export const deleteModel = (name) => requestJson(modelPath(name), { method: "DELETE" });

/** Sets how many versions a model keeps. @param {string} name @param {number | null} keep_versions null for the setting of the service */
export const keepVersions = (name, keep_versions) => requestJson(modelPath(name), { method: "PUT", json: { keep_versions } });

/** Makes an alias name a version. @param {Version} version @param {string} alias */
export const moveAlias = ({ model, version }, alias) =>
  requestJson(`${modelPath(model)}/aliases/${encodeURIComponent(alias)}`, { method: "PUT", json: { version } });

/** @param {string} model @param {string} alias */
export const deleteAlias = (model, alias) => requestJson(`${modelPath(model)}/aliases/${encodeURIComponent(alias)}`, { method: "DELETE" });

/** The boundary of a version as a small picture. @param {Version} version @returns {Promise<Blob>} */
export async function thumbnail({ model, version }) {
  const query = { model, version, resolution: THUMBNAIL, transparent: true, format: "png" };
  try {
    return await requestFile("boundary-grid", { ...query, overlay: "line" });
  } catch (error) {
    // The boundary of a network of one feature consists of points, not of lines.
    if (error instanceof Problem && error.field === "overlay") return requestFile("boundary-grid", query);
    throw error;
  }
}

/** A version as a file, with its name. @param {Version} version @param {string} format of `FORMATS`
 * @returns {Promise<{blob: Blob, name: string}>} */
export async function file(version, format) {
  const response = await request(`${pathOf(version)}/checkpoint`, { query: { format }, headers: { Accept: "*/*" } });
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  return { blob: await response.blob(), name: named?.[1] ?? `${version.model}-v${version.version}.${format}` };
}

/** A page of the jobs, newest first. @param {string | null} after @param {string | null} status only jobs with it */
export const jobs = (after, status) => requestJson("jobs", { query: { limit: PAGE, after, status } });

/** @param {string} id */
export const deleteJob = (id) => requestJson(`jobs/${id}`, { method: "DELETE" });

/** Cancels, pauses, resumes or retries a job. @param {string} id @param {string} action @returns {Promise<any>} the job */
export const changeJob = (id, action) => requestJson(`jobs/${id}/${action}`, { method: "POST" });

/** Compares two versions. @param {[string, string]} pair each as `MODEL:VERSION` or `MODEL:ALIAS`
 * @param {Record<string, any>} [query] where, or on which points */
export const comparison = ([a, b], query) => requestJson("comparison", { query: { a, b, ...query } });

/** The picture of a comparison. @param {[string, string]} pair @param {Record<string, any>} query */
export const comparisonPicture = ([a, b], query) => requestFile("comparison", { a, b, ...query, format: "png" });
