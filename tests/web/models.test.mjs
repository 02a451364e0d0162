import assert from "node:assert/strict";
import { test } from "node:test";
import { readPlace, setupOf, START, withPlace } from "../../service/web/js/logic/place.js";
import { FIRST_SETUP, trainingRequest } from "../../service/web/js/logic/setup.js";
import { facts, measuredAxes, setupOfCard } from "../../service/web/js/models/versions/cards.js";
import { marks, references, sameWindow, sideBySide } from "../../service/web/js/models/comparison/comparison.js";
import { actionsOf, afterEvent, hasPublished, isActive, STATUSES, withFirstPage } from "../../service/web/js/models/jobs/jobs.js";
import en from "../../service/web/js/models/i18n/en.js";
import zh from "../../service/web/js/models/i18n/zh.js";
import { assertSameTexts } from "./texts.mjs";

test("a place is read back as it was written, beside any setup", () => {
  for (const setup of ["", "data.dataset=moons&training.epochs=50"]) {
    for (const place of [START, { ...START, tab: "models" }, { tab: "models", model: "a.b-c", compare: null }, { tab: "models", model: "m", compare: ["m:1", "n:best"] }]) {
      const fragment = withPlace(setup, place);
      assert.deepEqual(readPlace(fragment), place);
      assert.equal(setupOf(fragment), setup);
      assert.equal(withPlace(fragment, START), setup);
    }
  }
  assert.equal(withPlace("", { tab: "models", model: null, compare: ["m:1", "n:2"] }), "tab=models&compare=m:1,n:2");
});

test("a link to a place that does not exist opens the first one", () => {
  assert.deepEqual(readPlace("tab=lessons&model=m"), START);
  for (const compare of ["", "m:1", "m:1,", "m:1,n:2,o:3"]) assert.equal(readPlace(`tab=models&compare=${compare}`).compare, null);
});

const CARD = {
  imported: null, n_networks: 1, n_features: 2, feature_names: null, classes: ["red", "blue"], data_digest: "d".repeat(64),
  network: { kind: "module", hidden: [8, 4], activation: "relu", scale: "standard", inputs: ["x", "x^2"] },
  data: { type: "generated", dataset: "moons", n: 300, noise: 0.1, seed: 9, n_classes: 2, validation: null },
  training: { epochs: 70, optimizer: "adam", learning_rate: 0.05, momentum: 0, weight_decay: 0.001, batch_size: 16, validation_fraction: 0.25, seed: 3, restarts: 2, ensemble: 1, patience: null },
  started_from: null, search: null, stop_reason: "completed", epochs_run: 70,
};

test("the setup of a card asks for the same training again", () => {
  assert.deepEqual(trainingRequest(setupOfCard(CARD), { points: [], labels: [], classes: [] }), {
    data: { dataset: "moons", n: 300, noise: 0.1, seed: 9, n_classes: 2 }, publish: false, preset: "tutorial",
    network: { kind: "module", hidden: [8, 4], activation: "relu", scale: "standard", inputs: ["x", "x^2"] },
    training: { seed: 3, validation_fraction: 0.25, optimizer: "adam", weight_decay: 0.001, epochs: 70, restarts: 2, learning_rate: 0.05, batch_size: 16 },
  });
});

test("a version shows its feature weights, and the playground has no setting for them", () => {
  const weighted = { ...CARD, network: { ...CARD.network, inputs: null, feature_weights: [1.4, 0.2] } };
  assert.equal(Object.fromEntries(facts(weighted)).feature_weights, "1.4, 0.2");
  const plain = { ...CARD, network: { ...CARD.network, inputs: null, feature_weights: null } };
  assert.deepEqual(setupOfCard(weighted), setupOfCard(plain));
});

test("the data of a card are a generator, a stored dataset, or points", () => {
  assert.deepEqual(setupOfCard({ ...CARD, data: { type: "stored", dataset: "iris" } }).data, { type: "stored", dataset: "iris", digest: CARD.data_digest });
  assert.deepEqual(setupOfCard({ ...CARD, data: { type: "points", n_points: 5 } }).data, { type: "drawn" });
});

test("settings that an imported card does not have are those of the first visit", () => {
  const network = { kind: "sequential", hidden: [3], activation: null, scale: "none", inputs: null };
  const card = { ...CARD, data: null, training: null, epochs_run: null, stop_reason: null, network, imported: { understood: ["Read as x.", "And y."] } };
  const setup = setupOfCard(card);
  assert.deepEqual(setup.training, FIRST_SETUP.training);
  assert.equal(setup.network.activation, FIRST_SETUP.network.activation);
  const known = Object.fromEntries(facts(card));
  assert.equal(known.imported, "Read as x. And y.");
  assert.deepEqual(Object.keys(known).sort(), ["classes", "features", "imported", "network"]);
});

test("the facts of a card are all that its training depended on", () => {
  const known = Object.fromEntries(facts({ ...CARD, n_networks: 3, started_from: { model: "m", version: 4 } }));
  assert.deepEqual(known, {
    network: "module, 8 × 4, relu", networks: "3", inputs: "x, x^2", scale: "standard", data: "moons, n = 300, noise = 0.1, seed = 9", features: "2",
    classes: "red, blue", training: "adam, learning_rate = 0.05, batch_size = 16, weight_decay = 0.001, seed = 3, restarts = 2", epochs: "70 (completed)", started_from: "m:4",
  });
});

test("the axes of a plane are measured features where there are two", () => {
  const card = { n_features: 4, feature_names: ["isle=a", "isle=b", "length", "depth"], data: { categories: { isle: ["a", "b"] } } };
  assert.deepEqual(measuredAxes(card), [2, 3]);
  assert.deepEqual(measuredAxes({ ...card, data: { categories: { isle: [], length: [], depth: [] } }, feature_names: ["isle=a", "isle=b", "length=1", "depth=2"] }), [0, 1]);
  assert.deepEqual(measuredAxes({ ...card, data: null, feature_names: null }), [0, 1]);
});

test("every status of a job has its actions and its name", () => {
  const active = STATUSES.filter((status) => isActive({ status }));
  assert.deepEqual(active.sort(), ["cancelling", "pausing", "queued", "running"]);
  for (const status of STATUSES) {
    const actions = actionsOf({ status });
    assert.equal(actions.includes("delete"), ["succeeded", "failed", "cancelled"].includes(status));
    for (const key of [`models.status.${status}`, ...actions.map((action) => `models.action.${action}`)]) assert.ok(key in en, key);
  }
  assert.deepEqual(actionsOf({ status: "unknown" }), []);
});

test("events change the progress, the status and the version of a job", () => {
  const job = { id: "j", status: "queued", version: null, problem: null, metrics: null, progress: { epoch: 0, epochs: null, fraction: 0 } };
  const running = afterEvent(job, "status", { status: "running", attempt: 1 });
  assert.equal(running.status, "running");
  const later = afterEvent(running, "metrics", { epoch: 25, epochs: 100, metrics: { training_accuracy: 0.5 } });
  assert.deepEqual(later.progress, { epoch: 25, epochs: 100, fraction: 0.25 });
  assert.equal(afterEvent(later, "status", { status: "succeeded", version: 3 }).version, 3);
  assert.equal(afterEvent(later, "checkpoint", { epoch: 25 }), later);
  assert.equal(afterEvent(later, "job", job), job);
});

test("a first page that is read again keeps older jobs and drops deleted ones", () => {
  const jobs = (/** @type {number[]} */ ...numbers) => numbers.map((n) => ({ id: `j${n}`, created_at: `2026-01-0${n}` }));
  assert.deepEqual(withFirstPage(jobs(5, 4, 3, 2, 1), { data: jobs(6, 5, 3), has_more: true }), jobs(6, 5, 3, 2, 1));
  assert.deepEqual(withFirstPage(jobs(5, 4), { data: jobs(5), has_more: false }), jobs(5));
  assert.deepEqual(withFirstPage(jobs(5, 4), { data: [], has_more: false }), []);
});

test("a new version is noticed once, even if its job was never seen running", () => {
  const job = (/** @type {number} */ n, /** @type {number | null} */ version) => ({ id: `j${n}`, version, created_at: `2026-01-0${n}` });
  assert.ok(hasPublished([job(3, null)], [job(3, 1)]));
  assert.ok(hasPublished([job(3, 1)], [job(4, 2), job(3, 1)]));
  assert.ok(!hasPublished([job(3, 1)], [job(3, 1), job(2, 1)]));
  assert.ok(!hasPublished([], [job(3, 1)]));
});

const WINDOW = { axes: [0, 2], at: [7, 9], window: { x_min: 0, x_max: 10, y_min: -1, y_max: 1 }, shape: [50, 40] };

test("the window of a comparison is asked for in the order of the features of each version", () => {
  const names = ["p", "q", "r", "s"];
  const edges = { ...WINDOW.window, resolution: 50 };
  assert.deepEqual(sameWindow(WINDOW, names, names), { ...edges, axes: "0,2", at: "7,9" });
  assert.deepEqual(sameWindow(WINDOW, names, ["s", "r", "q", "p"]), { ...edges, axes: "3,1", at: "9,7" });
  assert.deepEqual(sameWindow({ ...WINDOW, axes: [1, 0], at: [] }, null, null), { ...edges, axes: "1,0", at: undefined });
});

test("points are marked where the window shows them", () => {
  assert.deepEqual(marks([[0, 5, 1], [10, 5, -1], [5, 5, 0], [11, 5, 0]], WINDOW), [[0, 0], [1, 1], [0.5, 0.5]]);
  assert.deepEqual(marks([[3]], { ...WINDOW, axes: [0] }), []);
});

test("figures that at least one of two versions has are shown side by side", () => {
  const a = { training_loss: 0.5, training_accuracy: 0.8, validation_loss: null, validation_accuracy: null };
  const b = { training_loss: 0.25, training_accuracy: 0.9, validation_loss: null, validation_accuracy: 0.7 };
  assert.deepEqual(sideBySide(a, b), [["training_accuracy", 0.8, 0.9], ["training_loss", 0.5, 0.25], ["validation_accuracy", null, 0.7]]);
  assert.deepEqual(sideBySide(null, null), []);
});

test("a model can be named alone, by its newest version and by those with an alias", () => {
  const models = [{ name: "m", newest_version: 5, aliases: { best: 2, latest: 5 } }];
  assert.deepEqual(references(models), ["m", "m:5", "m:2", "m:best", "m:latest"]);
});

test("the tab has the same texts in both languages", () => {
  assertSameTexts(en, zh);
});
