import assert from "node:assert/strict";
import { test } from "node:test";
import { accuracy, confusion, entropyOf, labelsAt, likeliest, recalls, rocCurve } from "../../service/web/js/logic/metrics.js";

/** Share of pairs of a point of class 1 and one of class 0 that the scores put in order; ties count half. */
function areaByPairs(labels, scores) {
  let [sum, pairs] = [0, 0];
  for (const [i, one] of scores.entries()) {
    for (const [j, other] of scores.entries()) {
      if (labels[i] !== 1 || labels[j] !== 0) continue;
      pairs++;
      sum += one > other ? 1 : one === other ? 0.5 : 0;
    }
  }
  return sum / pairs;
}

test("the area under the ROC curve is the share of pairs in the right order", () => {
  let state = 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 20; round++) {
    const labels = Array.from({ length: 40 }, (_, i) => (i < 2 ? i : Number(random() < 0.4)));
    const scores = labels.map((label) => Math.round(10 * (0.3 * label + random())) / 10);
    assert.ok(Math.abs(rocCurve(labels, scores).auc - areaByPairs(labels, scores)) < 1e-12);
  }
});

test("a point of the ROC curve is what the threshold below its score gives", () => {
  const labels = [0, 0, 1, 1, 1, 0];
  const scores = [0.1, 0.4, 0.4, 0.8, 0.9, 0.85];
  const curve = rocCurve(labels, scores);
  curve.threshold.forEach((threshold, i) => {
    const counts = confusion(labels, labelsAt(scores.map((p) => [1 - p, p]), threshold - 1e-9), 2);
    assert.equal(curve.fpr[i], counts[0][1] / 3);
    assert.equal(curve.tpr[i], counts[1][1] / 3);
  });
});

test("one class alone has no ROC curve", () => assert.equal(rocCurve([1, 1], [0.2, 0.3]), null));

test("a confusion matrix has a row for each class and a column for each label", () => {
  const counts = confusion([0, 0, 1, 2], [0, 2, 1, 2], 4);
  assert.deepEqual(counts, [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]);
  assert.deepEqual(recalls(counts), [0.5, 1, 1, null]);
  assert.equal(accuracy(counts), 0.75);
});

test("a probability at the threshold is the first class, as in the service", () => {
  assert.deepEqual(labelsAt([[0.5, 0.5], [0.4, 0.6], [0.2, 0.3, 0.5]], 0.5), [0, 1, 2]);
});

test("the likeliest of all classes is as certain as it exceeds chance", () => {
  const { labels, certainty } = likeliest(Float32Array.from([0.25, 1, 0.1, 0.25, 0, 0.7, 0.25, 0, 0.1, 0.25, 0, 0.1]), 4);
  assert.deepEqual([...labels], [0, 0, 1]);
  assert.deepEqual([...certainty].map((value) => Number(value.toFixed(6))), [0, 1, 0.6]);
});

test("the entropy of two classes is one bit where both are equally probable, and none where one is certain", () => {
  assert.deepEqual([0.5, 0, 1].map(entropyOf), [1, 0, 0]);
  assert.ok(Math.abs(entropyOf(0.25) - (2 - 0.75 * Math.log2(3))) < 1e-12);
  assert.ok(Math.abs(entropyOf(0.75) - entropyOf(0.25)) < 1e-12);
});
