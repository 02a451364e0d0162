import assert from "node:assert/strict";
import { test } from "node:test";
import { CLASS_COLORS, divergingScale, paintValues, regionColors, rgbOf } from "../../service/web/js/logic/colors.js";
import { published, pythonText } from "../../service/web/js/logic/code.js";
import { ARROWS, centre, LEAP, moved, STEP } from "../../service/web/js/logic/cursor.js";
import { epochTicks, nearestKept, placeOf, spacedEpochs } from "../../service/web/js/logic/epochs.js";
import { eventsOf } from "../../service/web/js/logic/event_stream.js";
import { denseLayers, pythonName, withHidden } from "../../service/web/js/logic/network.js";
import { readNpy } from "../../service/web/js/logic/npy.js";
import { nearestPoint, plane, roundTicks, windowOf } from "../../service/web/js/logic/plane.js";
import { joined, spreadOffsets } from "../../service/web/js/logic/points.js";
import { classOrder, FIRST_SETUP, SNAPSHOTS, trainingRequest, withKind, withSnapshots } from "../../service/web/js/logic/setup.js";
import en from "../../service/web/js/i18n/en.js";
import zh from "../../service/web/js/i18n/zh.js";
import { assertSameTexts } from "./texts.mjs";

const POINTS = { points: [[0, 1], [2, 3]], labels: [0, 1], classes: ["red", "blue"], names: null };

test("the first setup asks for the tutorial's network and publishes nothing", () => {
  assert.deepEqual(trainingRequest(FIRST_SETUP, POINTS), {
    data: { dataset: "flower", n: 400, noise: 0.2, seed: 1, n_classes: 2 },
    publish: false,
    preset: "tutorial",
    network: { kind: "sequential", hidden: [4], activation: "tanh", scale: "none" },
    training: { seed: 0, optimizer: "sgd", learning_rate: 1, weight_decay: 0, epochs: 10000, restarts: 1 },
  });
});

test("drawn points are sent with their labels", () => {
  assert.deepEqual(trainingRequest({ ...FIRST_SETUP, data: { type: "drawn" } }, POINTS).data, { points: [[0, 1], [2, 3]], labels: ["red", "blue"] });
});

test("auto leaves the settings to the service", () => {
  const body = trainingRequest({ ...FIRST_SETUP, preset: "auto", validation: 0.2 }, POINTS);
  assert.deepEqual(body.training, { seed: 0, validation_fraction: 0.2 });
  assert.ok(!("network" in body));
});

test("L-BFGS has no learning rate and no batches", () => {
  const training = { ...FIRST_SETUP.training, optimizer: "lbfgs", batch_size: 8 };
  assert.deepEqual(Object.keys(trainingRequest({ ...FIRST_SETUP, training }, POINTS).training).sort(), ["epochs", "optimizer", "restarts", "seed", "weight_decay"]);
});

test("snapshots are asked for only where the service keeps them", () => {
  assert.equal(withSnapshots(trainingRequest(FIRST_SETUP, POINTS)).training.snapshots, SNAPSHOTS);
  for (const setup of [{ ...FIRST_SETUP, preset: "auto" }, { ...FIRST_SETUP, training: { ...FIRST_SETUP.training, restarts: 2 } }]) {
    assert.ok(!("snapshots" in withSnapshots(trainingRequest(setup, POINTS)).training));
  }
});

test("a network knows only the drawn classes that have points, and sorts them", () => {
  const data = { type: "drawn" };
  assert.deepEqual(classOrder(data, POINTS), [1, 0]);
  assert.deepEqual(classOrder(data, { ...POINTS, classes: [0, 1, 2, 10], labels: [3, 0, 2] }), [0, 2, 3]);
  assert.deepEqual(classOrder(FIRST_SETUP.data, POINTS), [0, 1]);
});

test("of very many points, pages from everywhere are read once each", () => {
  assert.deepEqual(spreadOffsets(3000, 3000, 300), [0, 300, 600, 900, 1200, 1500, 1800, 2100, 2400, 2700]);
  assert.deepEqual(spreadOffsets(400, 3000, 300), [0, 300]);
  const offsets = spreadOffsets(7000, 3000, 300);
  assert.deepEqual([offsets.length, offsets[0], offsets.at(-1)], [10, 0, 6700]);
  assert.ok(offsets.every((offset, i) => i === 0 || offset - offsets[i - 1] >= 300));
  assert.deepEqual(joined([{ n_points: 9, points: [[1]], labels: ["a"] }, { n_points: 9, points: [[2]], labels: ["b"] }]),
    { n_points: 9, points: [[1], [2]], labels: ["a", "b"] });
});

test("kinds of networks keep the layers that they can have", () => {
  const network = { ...FIRST_SETUP.network, hidden: [8, 3] };
  assert.deepEqual(withKind(network, "logistic").hidden, []);
  assert.deepEqual(withKind(network, "two_layer").hidden, [8]);
  assert.deepEqual(withKind({ ...network, hidden: [] }, "module").hidden, [4]);
  assert.equal(withHidden({ ...network, kind: "two_layer" }, [4, 4]).kind, "sequential");
  assert.equal(withHidden(network, []).kind, "logistic");
});

test("layers have the names of the tutorial", () => {
  assert.equal(pythonName("0.weight"), "net[0].weight");
  assert.equal(pythonName("layer2.0.bias"), "net.layer2[0].bias");
  const linear = (key, values, bias) => ({ weight: { key: `${key}weight`, values }, bias: { key: `${key}bias`, values: bias } });
  const activation = { weight: null, bias: null };
  const layers = [linear("0.", [[1, 2], [3, 4]], [5, 6]), activation, linear("2.", [[7, 8]], [9])];
  const { dense, shortcut } = denseLayers({ text: "Sequential(...)", n_parameters: 9, layers });
  assert.equal(shortcut, null);
  assert.equal(dense.length, 2);
  assert.equal(dense[0].linkName(1, 0), "net[0].weight[1, 0]");
  assert.equal(dense[0].weight[1][0], 3);
});

test("weights by hand are stored the other way round", () => {
  const layer = { weight: { key: "w1", values: [[1, 2, 3], [4, 5, 6]] }, bias: { key: "b1", values: [7, 8, 9] } };
  const [dense] = denseLayers({ text: "TwoLayer(...)", n_parameters: 9, layers: [layer] }).dense;
  assert.deepEqual(dense.weight, [[1, 4], [2, 5], [3, 6]]);
  assert.equal(dense.linkName(2, 1), "w1[1, 2]");
  assert.equal(dense.rowName(2), "w1[:, 2]");
});

test("a residual network has a layer beside the others", () => {
  const layer = (key) => ({ weight: { key: `${key}.weight`, values: [[1, 2]] }, bias: { key: `${key}.bias`, values: [0] } });
  const network = denseLayers({ text: "Residual(...)", n_parameters: 9, layers: [layer("layer1"), layer("layer2.0"), layer("layer2.2")] });
  assert.equal(network.shortcut.rowName(0), "net.layer1.weight[0]");
  assert.equal(network.dense.length, 2);
});

test("epochs lie on a logarithmic axis from 0 to the last one", () => {
  assert.equal(placeOf(0, 1000), 0);
  assert.equal(placeOf(1000, 1000), 1);
  const kept = [0, 1, 10, 100, 1000];
  for (const [i, epoch] of kept.entries()) assert.equal(nearestKept(kept, placeOf(epoch, 1000), 1000), i);
  assert.deepEqual(epochTicks(10000), [0, 1, 10, 100, 1000, 10000]);
  assert.deepEqual(epochTicks(1), [0, 1]);
});

test("spaced epochs begin at 0, end at the last one and do not repeat", () => {
  assert.deepEqual(spacedEpochs(60, 4), [0, 1, 2, 3, 4]);
  const epochs = spacedEpochs(60, 10000);
  assert.deepEqual([epochs[0], epochs.at(-1)], [0, 10000]);
  assert.ok(epochs.length <= 60 && epochs.every((epoch, i) => i === 0 || epoch > epochs[i - 1]));
});

test("pixels and data units convert into each other", () => {
  const { toX, toY, fromX, fromY } = plane({ x_min: -2, x_max: 6, y_min: 10, y_max: 20 }, 400);
  assert.deepEqual([toX(-2), toX(6), toY(10), toY(20)], [0, 400, 400, 0]);
  assert.ok(Math.abs(fromX(toX(1.25)) - 1.25) < 1e-12 && Math.abs(fromY(toY(13.5)) - 13.5) < 1e-12);
});

test("the nearest point within reach is found", () => {
  const pixels = [[0, 0], [10, 0], [12, 0]];
  assert.equal(nearestPoint(pixels, 11.5, 0, 5), 2);
  assert.equal(nearestPoint(pixels, 30, 0, 5), -1);
});

test("windows and ticks are those of the points", () => {
  assert.deepEqual(windowOf([[0, 5], [10, 5]], [0, 1], 0.1), { x_min: -1, x_max: 11, y_min: 4, y_max: 6 });
  assert.deepEqual(roundTicks(-4.8, 4.8, 6), [-4, -2, 0, 2, 4]);
  assert.deepEqual(roundTicks(0, 0.3, 3), [0, 0.1, 0.2, 0.3]);
});

test("arrays of .npy files are read", () => {
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".padEnd(117) + "\n";
  const bytes = new Uint8Array(10 + header.length + 24);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
  bytes.set(new TextEncoder().encode(header), 10);
  const view = new DataView(bytes.buffer);
  [1.5, 2, 3, 4, 5, -6.25].forEach((value, i) => view.setFloat32(10 + header.length + 4 * i, value, true));
  const array = readNpy(bytes.buffer);
  assert.deepEqual(array.shape, [2, 3]);
  assert.deepEqual([...array.values], [1.5, 2, 3, 4, 5, -6.25]);
  assert.throws(() => readNpy(new ArrayBuffer(20)), /no .npy/);
});

test("row 0 of values is at the bottom of a picture", () => {
  const scale = regionColors([255, 255, 255], CLASS_COLORS.slice(0, 2).map(rgbOf));
  const pixels = new Uint8ClampedArray(16);
  paintValues([0, 1, 1, 1], 2, 2, scale, (value) => value, pixels);
  assert.deepEqual([...pixels.slice(8, 12)], [...scale.slice(0, 4)]);
  assert.deepEqual([...pixels.slice(0, 4)], [...scale.slice(4, 8)]);
});

test("where neither class is more probable, the plane has the color of the background", () => {
  const scale = divergingScale([250, 250, 250], [200, 0, 0], [0, 0, 200]);
  assert.ok(Math.abs(scale[4 * 128] - 250) <= 1 && Math.abs(scale[4 * 127] - 250) <= 1);
  assert.ok(scale[0] > scale[2] && scale[1022] > scale[1020]);
});

test("programs publish what the page only tries", () => {
  const request = published({ ...trainingRequest(FIRST_SETUP, POINTS), supersede: "a", training: { seed: 0, snapshots: 60 } }, "mine");
  assert.equal(request.model, "mine");
  assert.ok(!("publish" in request) && !("supersede" in request) && !("snapshots" in request.training));
});

test("JSON is written as Python", () => {
  assert.equal(pythonText({ a: [true, null], b: { c: "it's" } }), '{\n    "a": [True, None],\n    "b": {\n        "c": "it\'s",\n    },\n}');
});

test("both languages have the same texts with the same places for values", () => {
  assertSameTexts(en, zh);
});

test("the cursor moves by shares of the window and stays inside it", () => {
  const window = { x_min: -2, x_max: 8, y_min: 0, y_max: 100 };
  assert.deepEqual(centre(window), { x: 3, y: 50 });
  assert.deepEqual(moved({ x: 0, y: 50 }, ARROWS.ArrowRight, LEAP, window), { x: 1, y: 50 });
  assert.deepEqual(moved({ x: 0, y: 50 }, ARROWS.ArrowDown, STEP, window), { x: 0, y: 49 });
  assert.deepEqual(moved({ x: 7.9, y: 99.5 }, [1, 1], LEAP, window), { x: 8, y: 100 });
});

async function* chunksOf(text, length) {
  for (let i = 0; i < text.length; i += length) yield text.slice(i, i + length);
}

async function eventsIn(text, length = text.length) {
  const events = [];
  for await (const event of eventsOf(chunksOf(text, length))) events.push(event);
  return events;
}

test("a stream is cut into events wherever its chunks end", async () => {
  const text = "retry: 1000\n\n: ping\nevent: metrics\ndata: {\"a\":1}\nid: 4\n\nevent:boundary\ndata:  x:y\ndata\ndata: z\n\ndata: plain\nid\n\nevent: cut\ndata: off\n";
  const expected = [
    { type: "metrics", data: '{"a":1}', id: "4" },
    { type: "boundary", data: " x:y\n\nz", id: "4" },
    { type: "message", data: "plain", id: "" },
  ];
  for (const ends of ["\n", "\r\n", "\r"]) {
    for (const length of [1, 2, 7, 1000]) assert.deepEqual(await eventsIn(text.replaceAll("\n", ends) + (ends === "\r" ? " " : ""), length), expected, JSON.stringify([ends, length]));
  }
});

test("an event without data is dropped, and an id with a null character is ignored", async () => {
  assert.deepEqual(await eventsIn("event: a\nid: 3\n\ndata: b\nid: 4\0\n\n"), [{ type: "message", data: "b", id: "3" }]);
});
