/** The actions of a job, and what its events change. */

/** Actions by status. @type {Record<string, string[]>} */
const ACTIONS = {
  queued: ["pause", "cancel"], running: ["pause", "cancel"], pausing: ["resume", "cancel"], paused: ["resume", "cancel"],
  cancelling: [], succeeded: ["delete"], failed: ["retry", "delete"], cancelled: ["retry", "delete"],
};

export const STATUSES = Object.keys(ACTIONS);

/** @param {any} job @returns {string[]} */
export const actionsOf = ({ status }) => ACTIONS[status] ?? [];

/** Whether a job goes on by itself. A paused one does not. @param {any} job */
export const isActive = ({ status }) => ["queued", "running", "pausing", "cancelling"].includes(status);

/** A job after one of its events.
 * @param {any} job @param {string} type of the event @param {any} data of the event
 * @returns {any} */
export function afterEvent(job, type, data) {
  if (type === "job") return data;
  if (type === "metrics") return { ...job, metrics: data.metrics, progress: progressOf(data.epoch, data.epochs) };
  if (type === "status") return { ...job, status: data.status, version: data.version ?? job.version, problem: data.problem ?? job.problem };
  return job;
}

/** @param {number} epoch @param {number} epochs */
function progressOf(epoch, epochs) {
  return { epoch, epochs, fraction: Math.min(epoch / epochs, 1) };
}

/** The jobs of a first page that was read again, followed by the older ones of the jobs that are shown.
 * @param {any[]} shown newest first @param {{data: any[], has_more: boolean}} page
 * @returns {any[]} */
export function withFirstPage(shown, page) {
  const last = page.data.at(-1);
  if (!page.has_more || !last) return page.data;
  const read = new Set(page.data.map(({ id }) => id));
  return [...page.data, ...shown.filter(({ id, created_at }) => !read.has(id) && created_at <= last.created_at)];
}

/** Whether a job has published a version since a list of jobs was read. Older jobs, of further pages, do not count.
 * @param {any[]} before newest first @param {any[]} now */
export function hasPublished(before, now) {
  const oldest = before.at(-1)?.created_at ?? "~";
  const published = new Set(before.filter(({ version }) => version !== null).map(({ id }) => id));
  return now.some(({ id, version, created_at }) => version !== null && created_at >= oldest && !published.has(id));
}
