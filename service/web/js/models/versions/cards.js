/** Cards of versions: as facts to read, and as a setup of the playground. */

import { FIRST_SETUP } from "../../logic/setup.js";

/** The main facts about a version, as keys and values. Unknown ones are left out.
 * @param {any} card
 * @returns {[string, string][]} */
export function facts({ network, n_networks, n_features, classes, data, training, epochs_run, stop_reason, started_from, search, imported }) {
  const known = {
    network: [network.kind, network.hidden.join(" × "), network.hidden.length ? network.activation : ""].filter(Boolean).join(", "),
    networks: n_networks > 1 ? String(n_networks) : "",
    inputs: network.inputs?.join(", ") ?? "",
    scale: network.scale === "none" ? "" : (network.scale ?? ""),
    feature_weights: network.feature_weights?.join(", ") ?? "",
    data: data ? dataText(data) : "",
    features: String(n_features),
    classes: classes.join(", "),
    training: training ? trainingText(training) : "",
    epochs: epochs_run === null ? "" : `${epochs_run} (${stop_reason})`,
    started_from: started_from?.model ? `${started_from.model}:${started_from.version}` : "",
    search: search?.reason ?? "",
    imported: imported ? imported.understood.join(" ") : "",
  };
  return /** @type {any} */ (Object.entries(known).filter(([, value]) => value));
}

/** @param {any} data */
function dataText({ type, dataset, n, noise, seed, n_points }) {
  if (type === "generated") return `${dataset}, n = ${n}, noise = ${noise}, seed = ${seed}`;
  return [dataset, `n = ${n_points}`].filter(Boolean).join(", ");
}

/** The usual values of settings of a training for which the playground has no controls. */
const WITHOUT_CONTROL = { momentum: 0, patience: null, class_weight: null, validation_folds: null, ensemble: 1, temperature: 1 };

/** Settings for which the playground has no controls, if they are not the usual ones. @param {any} training @returns {string[]} */
function further(training) {
  return Object.entries(WITHOUT_CONTROL)
    .filter(([name, usual]) => (training?.[name] ?? usual) !== usual)
    .map(([name]) => `${name} = ${typeof training[name] === "object" ? JSON.stringify(training[name]) : training[name]}`);
}

/** What a training of the setup of a version leaves out, since the playground has no controls for it. @param {any} card
 * @returns {string[]} */
export function leftOut({ network, training, started_from }) {
  return [
    ...further(training),
    ...(network.feature_weights ? ["feature_weights"] : []),
    ...(started_from?.model ? [`start = ${started_from.model}:${started_from.version}`] : []),
  ];
}

/** @param {any} training */
function trainingText(training) {
  const { optimizer, learning_rate, batch_size, weight_decay, seed, restarts } = training;
  return [
    optimizer,
    optimizer === "lbfgs" || learning_rate == null ? "" : `learning_rate = ${learning_rate}`,
    batch_size ? `batch_size = ${batch_size}` : "",
    weight_decay ? `weight_decay = ${weight_decay}` : "",
    `seed = ${seed}`,
    restarts > 1 ? `restarts = ${restarts}` : "",
    ...further(training),
  ].filter(Boolean).join(", ");
}

/** The setup of the playground that is closest to the training of a version. Fields that the card does not have are as at the
 * first visit.
 * @param {any} card
 * @returns {import("../../logic/setup.js").Setup} */
export function setupOfCard({ network, data, data_digest, training }) {
  const usual = FIRST_SETUP;
  return {
    data: dataOfCard(data, data_digest),
    validation: training?.validation_fraction ?? usual.validation,
    preset: "tutorial",
    network: {
      kind: network.kind, hidden: network.hidden, activation: network.activation ?? usual.network.activation,
      inputs: network.inputs ?? [], scale: network.scale ?? usual.network.scale,
    },
    training: /** @type {any} */ (Object.fromEntries(Object.entries(usual.training).map(([name, value]) => [name, name === "batch_size" ? (training?.batch_size ?? null) : (training?.[name] ?? value)]))),
  };
}

/** @param {any} data @param {string} digest @returns {import("../../logic/setup.js").Data} */
function dataOfCard(data, digest) {
  if (data?.type === "generated") {
    const { dataset, n, noise, seed, n_classes } = data;
    return { type: "generated", dataset, n, noise, seed, n_classes };
  }
  return data?.type === "stored" ? { type: "stored", dataset: data.dataset, digest } : { type: "drawn" };
}

/** The first two numeric features, for the axes of a plane. Features that encode texts are skipped: they have two values only.
 * @param {any} card
 * @returns {[number, number]} */
export function measuredAxes({ n_features, feature_names, data }) {
  const texts = Object.keys(data?.categories ?? {});
  const isText = (/** @type {number} */ i) => texts.some((column) => feature_names[i].startsWith(`${column}=`));
  const [across, up] = [...Array(n_features).keys()].filter((i) => !isText(i));
  return up === undefined ? [0, 1] : [across, up];
}
