/** Programs that do what the page shows. */

/** The request that publishes the network of a setup as a model.
 * @param {any} request the body of an unpublished training
 * @param {string} model
 * @returns {any} */
export function published(request, model) {
  const { publish, supersede, ...body } = request;
  const { snapshots, ...training } = body.training;
  return { model, ...body, training };
}

/** @typedef {{base: string, request: any, point: number[], needsKey: boolean}} Program `base` is the URL of the service, with a slash
 * at its end; `point` is one to predict; a program that needs a key has `KEY` in its place */

const AUTHORIZATION = `"Authorization": "Bearer KEY"`;

/** A program for each language.
 * @type {Record<"curl" | "python" | "javascript", (program: Program) => string>} */
export const PROGRAMS = {
  curl: ({ base, request, point, needsKey }) => `curl${keyOfCurl(needsKey)} -H 'Content-Type: application/json' -H 'Prefer: wait=60' ${base}train -d @- <<'END'
${JSON.stringify(request, null, 2)}
END
curl${keyOfCurl(needsKey)} -o boundary.png '${base}boundary-grid?model=${request.model}&format=png&overlay=points,line'
curl${keyOfCurl(needsKey)} -H 'Content-Type: application/json' ${base}predict -d '{"model": "${request.model}", "points": [${JSON.stringify(point)}]}'`,

  python: ({ base, request, point, needsKey }) => `import httpx

service = httpx.Client(base_url="${base}", timeout=90${needsKey ? `, headers={${AUTHORIZATION}}` : ""})
job = service.post("train", headers={"Prefer": "wait=60"}, json=${pythonText(request)}).raise_for_status().json()
print(job["status"], job["metrics"])
grid = service.get("boundary-grid", params={"model": "${request.model}"}).json()
answer = service.post("predict", json={"model": "${request.model}", "points": [${JSON.stringify(point)}]}).json()
print(answer["labels"], answer["probabilities"])`,

  javascript: ({ base, request, point, needsKey }) => `const post = async (path, body) => {
  const response = await fetch("${base}" + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Prefer": "wait=60"${needsKey ? `, ${AUTHORIZATION}` : ""} },
    body: JSON.stringify(body),
  });
  return response.json();
};
const job = await post("train", ${JSON.stringify(request, null, 2)});
console.log(job.status, job.metrics);
const grid = await (await fetch("${base}boundary-grid?model=${request.model}"${needsKey ? `, { headers: { ${AUTHORIZATION} } }` : ""})).json();
const answer = await post("predict", { model: "${request.model}", points: [${JSON.stringify(point)}] });
console.log(answer.labels, answer.probabilities);`,
};

/** @param {boolean} needsKey */
function keyOfCurl(needsKey) {
  return needsKey ? " -H 'Authorization: Bearer KEY'" : "";
}

/** A JSON value as Python writes it.
 * @param {any} value @param {string} [indent]
 * @returns {string} */
export function pythonText(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map((item) => pythonText(item)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const fields = Object.entries(value).map(([name, field]) => `${inner}${JSON.stringify(name)}: ${pythonText(field, inner)},\n`);
  return fields.length ? `{\n${fields.join("")}${indent}}` : "{}";
}
