import assert from "node:assert/strict";
import { test } from "node:test";
import { fragmentOf, MAX_LENGTH, readFragment } from "../../service/web/js/logic/link.js";
import { FIRST_SETUP, FIRST_VIEW } from "../../service/web/js/logic/setup.js";

test("the first setup needs no fragment", () => {
  assert.equal(fragmentOf(FIRST_SETUP, FIRST_VIEW, null), "");
  assert.deepEqual(readFragment(""), { setup: FIRST_SETUP, view: FIRST_VIEW, window: null });
  // The page compares them as text.
  assert.equal(JSON.stringify(readFragment("").setup), JSON.stringify(FIRST_SETUP));
});

test("a setup is read back as it was written", () => {
  const setup = {
    data: { type: "generated", dataset: "spirals", n: 1000, noise: 0.01, seed: 7, n_classes: 5 },
    validation: 0.2,
    preset: "auto",
    network: { kind: "residual", hidden: [16, 8, 4], activation: "relu", inputs: ["x", "y", "x^2", "x*y", "sin x"], scale: "standard" },
    training: { optimizer: "adam", learning_rate: 0.003, batch_size: 32, weight_decay: 0.001, epochs: 300, seed: 4294967295, restarts: 8 },
  };
  const view = { ...FIRST_VIEW, response: "entropy", threshold: 0.3, axes: [2, 5], drawer: "numbers" };
  const window = { x_min: -4.1, x_max: 1 / 3, y_min: -1e-7, y_max: 7 };
  const fragment = fragmentOf(setup, view, window);
  assert.deepEqual(readFragment(fragment), { setup, view, window });
  assert.ok(fragment.length < MAX_LENGTH / 2);
});

test("the longest setup stays short enough for a link", () => {
  const data = { type: "stored", dataset: "a".repeat(63), digest: "f".repeat(64) };
  const network = { kind: "sequential", hidden: new Array(6).fill(16), activation: "leaky_relu", inputs: ["x", "y", "x^2", "y^2", "x*y", "sin x", "sin y"], scale: "standard" };
  const setup = { ...FIRST_SETUP, data, network, validation: 0.15 };
  const fragment = fragmentOf(setup, { ...FIRST_VIEW, threshold: 0.51, axes: [998, 999] }, { x_min: -1e6 / 3, x_max: 1e6 / 3, y_min: -1e6 / 7, y_max: 1e6 / 7 });
  assert.ok(fragment.length < MAX_LENGTH);
  assert.deepEqual(readFragment(fragment).setup, setup);
});

test("logistic regression has no hidden layers when it is read back", () => {
  const setup = { ...FIRST_SETUP, network: { ...FIRST_SETUP.network, kind: "logistic", hidden: [] } };
  assert.deepEqual(readFragment(fragmentOf(setup, FIRST_VIEW, null)).setup.network.hidden, []);
});

test("what is no number stays as at the first visit", () => {
  const { setup } = readFragment("training.epochs=many&data.n=&network.hidden=4,x,2&unknown=1");
  assert.equal(setup.training.epochs, FIRST_SETUP.training.epochs);
  assert.equal(setup.data.n, 400);
  assert.deepEqual(setup.network.hidden, [4, 2]);
});

test("a view that cannot be shown stays as at the first visit", () => {
  for (const fragment of ["view.threshold=7", "view.threshold=-1", "view.brush=77", "view.axes=1", "view.axes=2,2", "view.window=1,0,0,1", "view.window=0,1,2", "view.window=0,1,0,x", "data.n_classes=-3"]) {
    assert.deepEqual(readFragment(fragment), { setup: FIRST_SETUP, view: FIRST_VIEW, window: null }, fragment);
  }
  assert.equal(readFragment(`network.hidden=${new Array(12).fill(4)}`).setup.network.hidden.length, 6);
});
