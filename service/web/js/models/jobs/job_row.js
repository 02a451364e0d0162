/** The row of a job: its status, its progress, and its actions. */

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { percent } from "../../logic/metrics.js";
import { go } from "../../place.js";
import { confirmDeletion } from "../confirm.js";
import { duration, moment, whole } from "../figures.js";
import { actionsOf } from "./jobs.js";
import * as requests from "../requests.js";
import { refusals } from "../said.js";

/** @param {any} job @param {(job: any) => void} onchange called with a job that an action has changed or created
 * @param {(id: string) => void} ondelete
 * @returns {{element: HTMLElement, set: (job: any) => void}} */
export function jobRow(job, onchange, ondelete) {
  const { element: said, attempt } = refusals();
  const status = h("span", { class: "status" });
  const model = h("button", { type: "button", class: "plain", onclick: () => go({ model: job.model, compare: null }) }, job.model);
  const bar = h("progress", { max: 1, "aria-label": t("models.progress_of", { model: job.model }) });
  const figures = h("span", { class: "muted" });
  const actions = h("span", { class: "job-actions" });
  const problem = h("p", { class: "said", hidden: true, lang: "en" });
  const element = h("li", { class: "job", dataset: { job: job.id } },
    h("div", { class: "job-head" }, status, model, h("span", { class: "space" }), h("small", {}, moment(job.created_at))),
    bar,
    h("div", { class: "job-foot" }, figures, actions),
    problem, said);
  let shown = "";

  /** @param {string} action */
  function act(action) {
    if (action === "delete") return confirmDeletion(t("models.delete_job"), t("models.delete_job_text"), async () => {
      await requests.deleteJob(job.id);
      ondelete(job.id);
    });
    attempt(async () => onchange(await requests.changeJob(job.id, action)));
  }

  /** @param {any} now */
  function set(now) {
    bar.hidden = Boolean(now.finished_at);
    bar.value = now.progress.fraction;
    figures.textContent = textOf(now);
    problem.hidden = !now.problem;
    problem.textContent = now.problem?.detail ?? "";
    const key = `${now.status} ${now.version}`;
    if (key === shown) return;
    shown = key;
    element.dataset.status = now.status;
    status.textContent = t(`models.status.${now.status}`);
    actions.replaceChildren(
      ...(now.version === null ? [] : [h("button", { type: "button", onclick: () => go({ model: job.model, compare: null }) }, t("models.version_number", now))]),
      ...actionsOf(now).map((action) => h("button", { type: "button", onclick: () => act(action) }, t(`models.action.${action}`))));
  }

  set(job);
  return { element, set };
}

/** Progress and figures of a job in one line. @param {any} job */
function textOf({ finished_at, progress, metrics, training_seconds, estimated_finish_at, status }) {
  const accuracy = metrics ? `${t("models.accuracy")} ${percent(metrics.training_accuracy)}` : "";
  if (finished_at) return [accuracy, training_seconds ? duration(training_seconds) : ""].filter(Boolean).join(" · ");
  const epochs = progress.epochs === null ? t("models.choosing") : t("models.epochs", { epoch: whole(progress.epoch), epochs: whole(progress.epochs) });
  const left = status === "running" && estimated_finish_at ? (Date.parse(estimated_finish_at) - Date.now()) / 1000 : 0;
  return [status === "queued" && !progress.epoch ? "" : epochs, accuracy, left > 2 ? t("models.left", { time: duration(left) }) : ""].filter(Boolean).join(" · ");
}
