/** Keeps jobs up to date. One stream has the events of the active jobs. The list is also read every few seconds, because it has the
 * new jobs too. */

import { followEvents, Problem } from "../../api.js";
import { afterEvent, isActive } from "./jobs.js";

/** Most jobs of one stream. */
const MAX_FOLLOWED = 20;

/** Milliseconds between two readings of the list. */
const REST_MS = 5000;

/** @param {{jobs: () => any[], change: (job: any) => void, read: () => Promise<void>, isShown: () => boolean}} list
 * @returns {() => void} call it after the list has changed */
export function keepUpToDate({ jobs, change, read, isShown }) {
  let followed = "";
  let following = new AbortController();

  /** Follows the active jobs, unless the same ones are followed already. */
  function follow() {
    const ids = isShown() ? jobs().filter(isActive).map(({ id }) => id).slice(0, MAX_FOLLOWED) : [];
    if (ids.join() === followed) return;
    following.abort();
    following = new AbortController();
    followed = ids.join();
    if (ids.length) listen(ids, following.signal);
  }

  /** @param {string[]} ids @param {AbortSignal} signal */
  function listen(ids, signal) {
    /** When the stream reported the state of each job. Older events of the job, which follow, are ignored. @type {Map<string, string>} */
    const told = new Map();
    let left = ids.length;
    /** @param {any} event @returns {boolean} whether it is the last one */
    const handle = ({ job_id, type, created_at, data }) => {
      if (type === "job") told.set(job_id, created_at);
      const job = jobs().find(({ id }) => id === job_id);
      if (job && created_at >= (told.get(job_id) ?? "")) change(afterEvent(job, type, data));
      if (type !== "done") return false;
      read();
      return --left === 0;
    };
    // The list has what the stream does not report, such as that a job was deleted.
    followEvents("events", { job: ids.join() }, handle, signal).catch((error) => error instanceof Problem || console.error(error));
  }

  async function readNowAndThen() {
    if (isShown()) await read();
    else follow();
    setTimeout(readNowAndThen, REST_MS);
  }

  setTimeout(readNowAndThen, REST_MS);
  return follow;
}
