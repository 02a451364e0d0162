/** The lessons: the setup of each, and the controls that it refers to. Their texts are in `en.js` and `zh.js`. */

import { FIRST_SETUP, usualSettings, withKind } from "../logic/setup.js";

/** @typedef {import("../logic/setup.js").Setup} Setup */

/** Something to look at: the key of its name, and its CSS selector.
 * @typedef {{name: string, target: string}} Sight
 * `demonstration` is what the lesson shows beside its text. The texts of its paragraphs and sights are in the dictionaries.
 * @typedef {{id: string, kind: string, dataset: "flower" | "gaussians", paragraphs: number, sights: Sight[],
 *            demonstration: "neuron" | "network" | "file", program: string}} Lesson */

/** @type {Sight} */
const PLANE = { name: "output.heading", target: "canvas.plane" };
/** @type {Sight} */
const DIAGRAM = { name: "network.heading", target: ".diagram" };

/** @type {Lesson[]} */
export const LESSONS = [
  {
    id: "neuron", kind: "logistic", dataset: "gaussians", paragraphs: 3, demonstration: "neuron", program: "",
    sights: [PLANE, DIAGRAM],
  },
  {
    id: "logistic", kind: "logistic", dataset: "flower", paragraphs: 3, demonstration: "network",
    sights: [PLANE, { name: "training.epochs", target: '[data-field="training.epochs"]' }],
    program: "p = torch.sigmoid(X @ w + b)",
  },
  {
    id: "by_hand", kind: "two_layer", dataset: "flower", paragraphs: 3, demonstration: "network",
    sights: [DIAGRAM, { name: "lessons.play", target: "#play" }, { name: "activation.label", target: '[data-field="network.activation"]' }],
    program: "h = torch.tanh(X @ w1 + b1)\np = torch.sigmoid(h @ w2 + b2)",
  },
  {
    id: "sequential", kind: "sequential", dataset: "flower", paragraphs: 3, demonstration: "network",
    sights: [DIAGRAM, { name: "training.seed", target: '[data-field="training.seed"]' }],
    program: "net = nn.Sequential(\n    nn.Linear(2, 4),\n    nn.Tanh(),\n    nn.Linear(4, 1),\n)\np = torch.sigmoid(net(X))",
  },
  {
    id: "module", kind: "module", dataset: "flower", paragraphs: 3, demonstration: "network",
    sights: [DIAGRAM, { name: "kind.label", target: '[data-field="network.kind"]' }],
    program: `class Net(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.layer1 = nn.Linear(inputs, hidden)
        self.layer2 = nn.Tanh()
        self.layer3 = nn.Linear(hidden, outputs)

    def forward(self, X):
        h = self.layer2(self.layer1(X))
        return self.layer3(h)

net = Net(2, 4, 1)`,
  },
  {
    id: "file", kind: "module", dataset: "flower", paragraphs: 3, demonstration: "file",
    sights: [PLANE, { name: "drawer.code", target: "#drawer-code" }],
    program: `torch.save(net.state_dict(), "flower.pth")

net = Net(2, 4, 1)
net.load_state_dict(
    torch.load("flower.pth", weights_only=True))`,
  },
];

/** The lesson with a number from 1, which may come from a link.
 * @param {number} number
 * @returns {{number: number, lesson: Lesson}} the nearest one that exists */
export function lessonAt(number) {
  const known = Math.min(Math.max(Math.round(number), 1), LESSONS.length);
  return { number: known, lesson: LESSONS[known - 1] };
}

/** The setup of a lesson: the tutorial's network, on its data.
 * @param {Lesson} lesson
 * @returns {Setup} */
export function setupOf({ kind, dataset }) {
  const noise = dataset === "flower" ? 0.2 : 0.5;
  return {
    ...FIRST_SETUP,
    data: { type: "generated", dataset, n: 400, noise, seed: 1, n_classes: 2 },
    network: withKind(FIRST_SETUP.network, kind),
    training: { ...FIRST_SETUP.training, ...usualSettings(kind, "sgd") },
  };
}

/** Whether a setup is that of a lesson, whatever the order of its fields.
 * @param {Setup} setup @param {Lesson} lesson */
export function isSetUp(setup, lesson) {
  return isSame(setup, setupOf(lesson));
}

/** @param {any} one @param {any} other @returns {boolean} */
function isSame(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => isSame(one[name], other[name]));
}

/** A fragment with another lesson, or with none. All other fields stay.
 * @param {string} fragment without `#` @param {number | null} lesson
 * @returns {string} */
export function withLesson(fragment, lesson) {
  const fields = new URLSearchParams(fragment);
  const wanted = { "view.drawer": lesson && "lessons", "view.lesson": lesson && String(lesson) };
  const different = Object.entries(wanted).filter(([name, value]) => fields.get(name) !== value);
  for (const [name, value] of different) value ? fields.set(name, value) : fields.delete(name);
  return different.length ? fields.toString() : fragment;
}

/** Splits a text at its backticks. Every second piece is code.
 * @param {string} text
 * @returns {string[]} */
export function pieces(text) {
  return text.split("`");
}
