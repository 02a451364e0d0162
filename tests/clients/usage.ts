// A front end against the generated types: it narrows every union of the API, and follows a job.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const baseUrl = process.argv[2]!;
const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl });

type Job = components["schemas"]["Job"];
type StreamEvent = components["schemas"]["StreamEvent"];

function describe(job: Job): string {
  const points = job.data.type === "generated" ? job.data.n : job.data.n_points;
  const accuracy: number | undefined = job.metrics?.training_accuracy;
  const stopped = job.restart_results?.map((result) => result.stop_reason).join();
  return `${job.status} on ${points} points, accuracy ${accuracy}, ${job.problem?.code ?? stopped}`;
}

function figure(event: StreamEvent): number | string | null {
  switch (event.type) {
    case "job":
      return describe(event.data);
    case "status":
      return event.data.version ?? event.data.status;
    case "metrics":
      return event.data.metrics.training_loss;
    case "checkpoint":
      return event.data.epoch;
    case "boundary":
      return event.data.values_base64.length * event.data.scale + event.data.window.x_min;
    case "done":
      return event.data.metrics?.training_accuracy ?? null;
    case "closing":
      return event.data.reason;
  }
}

async function* streamed(path: string): AsyncGenerator<StreamEvent> {
  const response = await fetch(baseUrl + path, { headers: { Accept: "text/event-stream" } });
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6)) as StreamEvent;
    }
  }
}

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const submitted = await api.POST("/train", {
  params: { header: { Prefer: "wait=50", "Idempotency-Key": "usage" } },
  body: { model: "followed", data: { dataset: "moons" } },
});
check(submitted.response.status === 200, "the job has ended");
const job = submitted.data!;
check(job.object === "training.job", "a job, and no validation");

const seen: string[] = [];
for await (const event of streamed(`${job.links.events}?boundary=8`)) {
  check(figure(event) !== undefined, event.type);
  seen.push(event.type);
}
check(seen[0] === "job" && seen.at(-1) === "done" && seen.includes("boundary"), seen.join());

const page = await api.GET("/jobs/{job_id}/events", { params: { path: { job_id: job.id } } });
check(page.data!.data.every((event) => event.job_id === job.id && figure(event) !== undefined), "a page of events");

const again = await api.POST("/train", { body: { model: "followed", data: { dataset: "moons" } } });
check(again.response.status === 202, "a job that goes on");

const validated = await api.POST("/train", {
  params: { query: { validate_only: true } },
  body: { model: "followed", data: { points: [[0], [1]], labels: ["a", "b"] } },
});
check(validated.data!.object === "training.validation", "a validation, and no job");

const grid = await api.GET("/boundary-grid", { params: { query: { model: "followed", resolution: "8" } } });
const cells = grid.data!;
check(cells.object === "boundary.grid" && cells.values.length === 8, "a grid, and no embedding");

const refused = await api.GET("/jobs/{job_id}", { params: { path: { job_id: "nobody" } } });
check(refused.error!.code === "job-not-found", "a problem");
const invalid = await api.POST("/train", { body: { model: "NO", data: { dataset: "moons" } } });
check(invalid.error!.errors[0]!.in === "body", "an invalid field");

const model = await api.GET("/models/{name}", { params: { path: { name: "followed" } } });
const version = await api.GET("/models/{name}/versions/{version}", {
  params: { path: { name: "followed", version: model.data!.newest_version } },
});
const data = version.data!.card!.data;
check(data?.type === "generated" && data.dataset === "moons", "the data of a card");
