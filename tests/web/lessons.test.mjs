import assert from "node:assert/strict";
import { test } from "node:test";
import base from "../../service/web/js/i18n/en.js";
import { compared } from "../../service/web/js/lessons/comparison.js";
import en from "../../service/web/js/lessons/en.js";
import { curve, outputAt, RANGE, zeroOf } from "../../service/web/js/lessons/neuron.js";
import { isSetUp, lessonAt, LESSONS, pieces, setupOf, withLesson } from "../../service/web/js/lessons/steps.js";
import zh from "../../service/web/js/lessons/zh.js";
import { fragmentOf, readFragment } from "../../service/web/js/logic/link.js";
import { denseLayers } from "../../service/web/js/logic/network.js";
import { FIRST_SETUP, FIRST_VIEW, trainingRequest } from "../../service/web/js/logic/setup.js";
import { assertSameTexts } from "./texts.mjs";

test("lessons train the tutorial's networks with its settings", () => {
  const [neuron, logistic, byHand, sequential, module, file] = LESSONS.map((lesson) => trainingRequest(setupOf(lesson), null));
  assert.deepEqual(neuron.data, { dataset: "gaussians", n: 400, noise: 0.5, seed: 1, n_classes: 2 });
  assert.deepEqual(logistic.data, { dataset: "flower", n: 400, noise: 0.2, seed: 1, n_classes: 2 });
  for (const { network, training } of [neuron, logistic]) {
    assert.deepEqual([network.kind, network.hidden], ["logistic", []]);
    assert.deepEqual([training.optimizer, training.learning_rate, training.epochs], ["sgd", 0.1, 100]);
  }
  assert.deepEqual([byHand, sequential, module, file].map(({ network }) => network.kind), ["two_layer", "sequential", "module", "module"]);
  for (const { data, network, training } of [byHand, sequential, module, file]) {
    assert.deepEqual([data, network.hidden, network.activation], [logistic.data, [4], "tanh"]);
    assert.deepEqual([training.optimizer, training.learning_rate, training.epochs], ["sgd", 1, 10000]);
  }
});

test("a setup is that of a lesson if all fields are equal, in any order", () => {
  const { lesson } = lessonAt(4);
  assert.ok(isSetUp(FIRST_SETUP, lesson));
  const { data, ...others } = FIRST_SETUP;
  assert.ok(isSetUp({ ...others, data: Object.fromEntries(Object.entries(data).reverse()) }, lesson));
  assert.ok(!isSetUp({ ...FIRST_SETUP, training: { ...FIRST_SETUP.training, seed: 1 } }, lesson));
  assert.ok(!isSetUp({ ...FIRST_SETUP, network: { ...FIRST_SETUP.network, hidden: [4, 4] } }, lesson));
  assert.ok(!isSetUp({ ...FIRST_SETUP, data: { type: "drawn" } }, lesson));
});

test("a link to a lesson that does not exist opens the nearest one", () => {
  assert.deepEqual([-3, 0, 1, 2.4, 6, 99].map((number) => lessonAt(number).number), [1, 1, 1, 2, 6, 6]);
});

test("a link names a lesson only while it is open", () => {
  const fragment = fragmentOf(FIRST_SETUP, { ...FIRST_VIEW, drawer: "lessons", lesson: 3 }, null);
  assert.equal(fragment, "view.drawer=lessons&view.lesson=3");
  assert.equal(readFragment(fragment).view.lesson, 3);
  assert.equal(readFragment("view.lesson=three").view.lesson, 1);
  assert.equal(fragmentOf(FIRST_SETUP, { ...FIRST_VIEW, drawer: "code", lesson: 3 }, null), "view.drawer=code");
});

test("an address keeps its other parts when lessons open and close", () => {
  assert.equal(withLesson("", 2), "view.drawer=lessons&view.lesson=2");
  assert.equal(withLesson("data.noise=0.3&view.drawer=code&x=a:b", 1), "data.noise=0.3&view.drawer=lessons&x=a%3Ab&view.lesson=1");
  assert.equal(withLesson("view.drawer=lessons&view.lesson=3&x=a:b", 3), "view.drawer=lessons&view.lesson=3&x=a:b");
  assert.equal(withLesson("data.noise=0.3&view.drawer=lessons&view.lesson=3", null), "data.noise=0.3");
  assert.equal(withLesson("data.noise=0.3", null), "data.noise=0.3");
});

test("each lesson has all its texts, in both languages, with the same code and the same places for values", () => {
  assertSameTexts(en, zh);
  assert.deepEqual(Object.keys(en).filter((key) => key in base), []);
  const numbered = (part, count) => Array.from({ length: count }, (_, i) => `${part}.${i + 1}`);
  for (const { id, paragraphs, sights } of LESSONS) {
    const parts = ["title", "question", "answer", ...numbered("text", paragraphs), ...numbered("look", sights.length)];
    for (const part of parts) assert.ok(en[`lessons.${id}.${part}`], `${id}.${part}`);
    assert.ok(!(`lessons.${id}.text.${paragraphs + 1}` in en) && !(`lessons.${id}.look.${sights.length + 1}` in en));
    for (const { name } of sights) assert.ok(name in base || name in en, name);
  }
  const code = (text) => new Set(pieces(text).filter((_, i) => i % 2).filter((piece) => piece.length > 1));
  for (const key of Object.keys(en)) {
    assert.deepEqual(code(zh[key]), code(en[key]), key);
    for (const text of [en[key], zh[key]]) assert.equal(pieces(text).length % 2, 1, key);
  }
});

test("texts state no accuracy, because the service computes it", () => {
  for (const text of [...Object.values(en), ...Object.values(zh)]) assert.ok(!/\d\s*%/.test(text), text);
});

test("the output of a neuron is that of its activation function", () => {
  const neuron = { weight: 2, bias: -1 };
  assert.equal(outputAt(neuron, "sigmoid", 0.5), 0.5);
  assert.ok(Math.abs(outputAt(neuron, "sigmoid", 1) - 0.7310585786300049) < 1e-15);
  assert.ok(Math.abs(outputAt(neuron, "tanh", 1) - 0.7615941559557649) < 1e-15);
  assert.deepEqual([0, 0.5, 2].map((x) => outputAt(neuron, "relu", x)), [0, 0, 3]);
});

test("a curve spans the range and has its corner exactly where the argument is 0", () => {
  const neuron = { weight: 3, bias: -1 };
  const points = curve(neuron, (x) => outputAt(neuron, "relu", x));
  assert.equal(points[0][0], RANGE.x_min);
  assert.equal(points.at(-1)[0], RANGE.x_max);
  assert.ok(points.some(([x, y]) => x === 1 / 3 && y === 0));
  assert.ok(points.every(([x], i) => i === 0 || x >= points[i - 1][0]));
  assert.equal(zeroOf({ weight: 0, bias: 2 }), null);
  assert.ok(Object.is(zeroOf({ weight: 1, bias: 0 }), 0));
  assert.equal(curve({ weight: 0, bias: 2 }, () => 2).length + 1, points.length);
});

test("two networks are compared by their labels and by their greatest difference", () => {
  const one = { labels: ["red", "blue", "red"], probabilities: [[0.9, 0.1], [0.25, 0.75], [0.75, 0.25]] };
  assert.deepEqual(compared(one, one), { same: 3, all: 3, difference: 0 });
  const other = { labels: ["red", "blue", "blue"], probabilities: [[0.9, 0.1], [0.25, 0.75], [0.25, 0.75]] };
  assert.deepEqual(compared(one, other), { same: 2, all: 3, difference: 0.5 });
});

test("parameters are listed as the network stores them", () => {
  const array = (key, shape, values) => ({ key, shape, values });
  const byHand = { weight: array("w1", [2, 3], [[1, 2, 3], [4, 5, 6]]), bias: array("b1", [3], [7, 8, 9]) };
  const [layer] = denseLayers({ text: "TwoLayer()", n_parameters: 9, layers: [byHand] }).dense;
  assert.deepEqual(layer.stored, [{ name: "w1", shape: [2, 3], values: [[1, 2, 3], [4, 5, 6]] }, { name: "b1", shape: [3], values: [7, 8, 9] }]);
  const named = { weight: array("layer1.weight", [1, 2], [[1, 2]]), bias: array("layer1.bias", [1], [3]) };
  const [first] = denseLayers({ text: "Module()", n_parameters: 3, layers: [named] }).dense;
  assert.deepEqual(first.stored.map(({ name }) => name), ["net.layer1.weight", "net.layer1.bias"]);
});
