/** The panel of the network: its kind and its settings, and those of the training. */

import { h } from "../dom.js";
import { ACTIVATIONS, INPUTS, KINDS, OPTIMIZERS, usualSettings, withKind } from "../logic/setup.js";
import { current, subscribe, update } from "../state.js";
import { choice, labelled, number, segments, setNumber } from "./controls.js";
import { diagram } from "./diagram_view.js";

const RATES = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const DECAYS = [0, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 1];
const BATCHES = ["", 1, 8, 16, 32, 64, 128];

/** @param {Partial<import("../logic/setup.js").Network>} changes */
function setNetwork(changes) {
  const { setup } = current();
  update({ setup: { ...setup, preset: "tutorial", network: { ...setup.network, ...changes } } });
}

/** @param {Partial<import("../logic/setup.js").Training>} changes */
function setTraining(changes) {
  const { setup } = current();
  update({ setup: { ...setup, training: { ...setup.training, ...changes } } });
}

/** @param {HTMLElement} root */
export function mountNetwork(root) {
  const preset = segments(["auto", "tutorial"], "preset", (value) => {
    const { setup } = current();
    update({ setup: { ...setup, preset: /** @type {"auto" | "tutorial"} */ (value) } });
  });
  const kind = choice(KINDS, (value) => {
    const { setup } = current();
    const usual = usualSettings(value, setup.training.optimizer);
    const isOther = (value === "logistic") !== (setup.network.kind === "logistic");
    const training = isOther ? { ...setup.training, ...usual } : setup.training;
    update({ setup: { ...setup, network: withKind(setup.network, value), training } });
  }, "kind");
  const activation = choice(ACTIVATIONS, (value) => setNetwork({ activation: value }), "activation");
  const scale = choice(["none", "standard"], (value) => setNetwork({ scale: /** @type {any} */ (value) }), "scale");
  const optimizer = choice(OPTIMIZERS, (value) => setTraining({ optimizer: value, batch_size: null, ...usualSettings(current().setup.network.kind, value) }), "optimizer");
  const rate = choice(RATES, (value) => setTraining({ learning_rate: Number(value) }));
  const batch = choice(BATCHES, (value) => setTraining({ batch_size: value === "" ? null : Number(value) }));
  batch.options[0].dataset.i18n = "training.whole_batch";
  const decay = choice(DECAYS, (value) => setTraining({ weight_decay: Number(value) }));
  const epochs = number({ min: 1, max: 1000000, step: 1 }, (value) => setTraining({ epochs: value }));
  const seed = number({ min: 0, step: 1 }, (value) => setTraining({ seed: value }));
  const restarts = number({ min: 1, max: 1000, step: 1 }, (value) => setTraining({ restarts: value }));
  const terms = INPUTS.map((term) => h("button", { type: "button", onclick: () => toggle(term) }, term.replace("^2", "²").replace("*", "·")));
  const inputs = h("div", { class: "terms", role: "group", dataset: { i18nLabel: "inputs.label" } }, ...terms);
  const byHand = h("div", { class: "settings" },
    labelled("kind.label", kind, { field: "network.kind" }),
    labelled("activation.label", activation, { field: "network.activation" }),
    labelled("scale.label", scale, { field: "network.scale" }),
    labelled("optimizer.label", optimizer, { field: "training.optimizer" }),
    labelled("training.learning_rate", rate, { field: "training.learning_rate" }),
    labelled("training.batch_size", batch, { field: "training.batch_size" }),
    labelled("training.weight_decay", decay, { field: "training.weight_decay" }),
    labelled("training.epochs", epochs, { field: "training.epochs" }),
    labelled("training.seed", seed, { field: "training.seed" }),
    labelled("training.restarts", restarts, { field: "training.restarts" }));

  const depth = h("div", { class: "depth" });
  root.append(
    h("div", { class: "heading" }, h("h2", { id: "network-heading", dataset: { i18n: "network.heading" } }), preset.element),
    byHand,
    h("div", { class: "inputs", dataset: { field: "network.inputs" } }, h("span", { dataset: { i18n: "inputs.heading" } }), inputs, depth),
    diagram(depth));

  /** @param {string} term */
  function toggle(term) {
    const own = current().setup.network.inputs;
    const now = own.length ? own : ["x", "y"];
    const next = INPUTS.filter((other) => (other === term ? !now.includes(term) : now.includes(other)));
    const isPlain = next.length === 2 && next[0] === "x" && next[1] === "y";
    if (next.length) setNetwork({ inputs: isPlain ? [] : next });
  }

  function render() {
    const { setup, points, run } = current();
    const isAuto = setup.preset === "auto";
    const network = isAuto ? { ...setup.network, ...run.network, inputs: run.network?.inputs ?? [] } : setup.network;
    const training = isAuto ? { ...setup.training, ...run.training } : setup.training;
    preset.set(setup.preset);
    kind.value = network.kind;
    activation.value = network.activation;
    scale.value = network.scale;
    optimizer.value = training.optimizer;
    setOption(rate, training.optimizer === "lbfgs" ? "" : training.learning_rate);
    setOption(batch, training.batch_size ?? "");
    setOption(decay, training.weight_decay);
    setNumber(epochs, training.epochs);
    setNumber(seed, training.seed);
    setNumber(restarts, training.restarts);
    const isLbfgs = training.optimizer === "lbfgs";
    for (const control of [kind, activation, scale, optimizer, decay, epochs, restarts]) control.disabled = isAuto;
    activation.disabled ||= network.kind === "logistic";
    rate.disabled = batch.disabled = isAuto || isLbfgs;
    const isPlane = (points.points[0]?.length ?? 2) === 2;
    const used = network.inputs.length ? network.inputs : ["x", "y"];
    terms.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(isPlane && used.includes(INPUTS[i])));
      button.disabled = isAuto || !isPlane;
    });
  }

  subscribe((_, changed) => (changed.has("setup") || (changed.has("run") && !current().isDragging)) && render());
}

/** Chooses a value, which need not be among the usual ones. @param {HTMLSelectElement} select @param {any} value */
function setOption(select, value) {
  const text = String(value);
  if (![...select.options].some((option) => option.value === text)) select.append(h("option", { value: text }, text === "" ? "–" : text));
  select.value = text;
}
