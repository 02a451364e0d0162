/** Keeps jobs up to date: by one stream of events of those that go on, and by reading the list now and then, which also has
 * the new ones. */

import { followAll } from "../api.js";
import { afterEvent, isActive } from "./jobs.js";

/** Most jobs of one stream. */
const MAX_FOLLOWED = 20;

/** Milliseconds between two readings of the list: usually, and while jobs go on whose events are refused. */
const REST_MS = 5000;
const BUSY_MS = 1000;

/** @param {{jobs: () => any[], change: (job: any) => void, read: () => Promise<void>, isShown: () => boolean}} list
 * @returns {() => void} call it after the list has changed */
export function keepUpToDate({ jobs, change, read, isShown }) {
  let followed = "";
  let stop = () => {};
  let isRefused = false;

  /** Follows the jobs that go on, unless they are those that are followed already. */
  function follow() {
    const ids = isShown() ? jobs().filter(isActive).map(({ id }) => id).slice(0, MAX_FOLLOWED) : [];
    const key = ids.join();
    if (key === followed) return;
    stop();
    followed = key;
    stop = ids.length ? listen(ids) : () => {};
  }

  /** @param {string[]} ids */
  function listen(ids) {
    /** When the stream told what each job is like. Its older events follow. @type {Map<string, string>} */
    const told = new Map();
    return followAll(ids, ({ job_id, type, created_at, data }) => {
      isRefused = false;
      if (type === "job") told.set(job_id, created_at);
      else if (created_at < (told.get(job_id) ?? "")) return;
      const job = jobs().find(({ id }) => id === job_id);
      if (job) change(afterEvent(job, type, data));
      if (type === "done") read();
    }, () => (isRefused = true));
  }

  async function readNowAndThen() {
    if (isShown()) await read();
    else follow();
    const isBusy = isRefused && jobs().some(isActive);
    setTimeout(readNowAndThen, isBusy ? BUSY_MS : REST_MS);
  }

  setTimeout(readNowAndThen, REST_MS);
  return follow;
}
