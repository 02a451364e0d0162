/** The jobs, newest first, with their progress while they run. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { here } from "../../place.js";
import { jobRow } from "./job_row.js";
import { hasPublished, STATUSES, withFirstPage } from "./jobs.js";
import { keepUpToDate } from "./live.js";
import { place } from "../paging.js";
import * as requests from "../requests.js";
import { refusals } from "../said.js";
import { trainingForm } from "./training_form.js";

/** @param {HTMLElement} root @param {() => unknown} onpublished called when a job has published a version
 * @returns {{read: () => Promise<void>, write: () => void}} `read` reads the first page again, `write` writes all texts in the language of the page */
export function mountJobs(root, onpublished) {
  /** Newest first. @type {any[]} */
  let jobs = [];
  /** @type {string | null} */
  let next = null;
  /** @type {string | null} */
  let status = null;
  let reads = 0;
  let isRead = false;
  /** @type {Map<string, ReturnType<typeof jobRow>>} */
  let rows = new Map();
  const { element: said, attempt } = refusals();
  const list = h("ol", { class: "job-list" });
  const more = h("button", { type: "button", hidden: true, onclick: () => attempt(readOlder) });
  const none = h("p", { class: "empty", hidden: true });
  const filter = h("select", { onchange: () => {
    status = filter.value || null;
    [jobs, next] = [[], null];
    read();
  } });
  const head = h("div", { class: "heading" });
  const form = h("div");
  root.append(head, form, said, list, none, more);

  const follow = keepUpToDate({ jobs: () => jobs, change, read, isShown: () => here().tab === "models" && !document.hidden });

  /** Reads the first page again, which has all new jobs. */
  async function read() {
    const mine = ++reads;
    await attempt(async () => {
      const page = await requests.jobs(null, status);
      if (mine !== reads) return;
      const isOverlapping = page.data.some((/** @type {any} */ { id }) => jobs.some((job) => job.id === id));
      if (!isOverlapping) next = page.has_more ? page.last_id : null;
      replace(isOverlapping ? withFirstPage(jobs, page) : page.data);
    });
  }

  async function readOlder() {
    const mine = ++reads;
    const page = await requests.jobs(next, status);
    if (mine !== reads) return;
    next = page.has_more ? page.last_id : null;
    replace([...jobs, ...page.data]);
  }

  /** Shows other jobs than before. @param {any[]} now */
  function replace(now) {
    isRead = true;
    const published = hasPublished(jobs, now);
    jobs = now;
    render();
    if (published) onpublished();
    follow();
  }

  /** Shows a job that has changed, or a new one. @param {any} job */
  function change(job) {
    const isKnown = jobs.some(({ id }) => id === job.id);
    replace(isKnown ? jobs.map((other) => (other.id === job.id ? job : other)) : [job, ...jobs]);
  }

  function render() {
    rows = new Map(jobs.map((job) => [job.id, rows.get(job.id) ?? jobRow(job, change, (id) => replace(jobs.filter((other) => other.id !== id)))]));
    for (const job of jobs) rows.get(job.id)?.set(job);
    place(list, [...rows.values()].map(({ element }) => element));
    none.hidden = jobs.length > 0;
    more.hidden = next === null;
  }

  /** Writes everything, in the language of the page. */
  function write() {
    rows = new Map();
    filter.replaceChildren(h("option", { value: "" }, t("models.status.all")), ...STATUSES.map((one) => h("option", { value: one, selected: one === status }, t(`models.status.${one}`))));
    filter.setAttribute("aria-label", t("models.status"));
    head.replaceChildren(h("h2", {}, t("models.jobs")), filter);
    form.replaceChildren(trainingForm(change));
    more.textContent = t("models.more");
    none.textContent = t("models.no_jobs");
    if (isRead) render();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? follow() : read()));
  write();
  return { read, write };
}
