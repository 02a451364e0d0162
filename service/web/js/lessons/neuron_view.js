/** The curves of one neuron with three activation functions, and sliders for its weight and bias. */

import { h, svg } from "../dom.js";
import { t } from "../i18n.js";
import { slider } from "../view/controls.js";
import { ACTIVATION, curve, outputAt, RANGE, zeroOf } from "./neuron.js";

const [WIDTH, HEIGHT] = [128, 96];
const LIMIT = 5;

const toX = (/** @type {number} */ x) => ((x - RANGE.x_min) / (RANGE.x_max - RANGE.x_min)) * WIDTH;
const toY = (/** @type {number} */ y) => HEIGHT - ((y - RANGE.y_min) / (RANGE.y_max - RANGE.y_min)) * HEIGHT;

/** @returns {HTMLElement} */
export function neuronView() {
  const neuron = { weight: 1, bias: 0 };
  const charts = /** @type {(keyof typeof ACTIVATION)[]} */ (Object.keys(ACTIVATION)).map((activation) => chart(activation));
  const zero = h("output", { class: "muted" });
  const draw = () => {
    for (const each of charts) each.draw(neuron);
    const x = zeroOf(neuron);
    zero.textContent = x === null ? t("lessons.neuron.flat", { bias: neuron.bias.toFixed(1) }) : t("lessons.neuron.zero", { x: x.toFixed(2) });
  };
  const weight = moved("lessons.neuron.weight", neuron.weight, (value) => (neuron.weight = value));
  const bias = moved("lessons.neuron.bias", neuron.bias, (value) => (neuron.bias = value));
  draw();
  return h("div", { class: "neuron" }, h("div", { class: "curves" }, ...charts.map(({ element }) => element)), weight, bias, zero);

  /** @param {string} key @param {number} first @param {(value: number) => void} onmove */
  function moved(key, first, onmove) {
    const control = slider({ min: -LIMIT, max: LIMIT, step: 0.1 }, (value) => (onmove(value), draw()), (value) => value.toFixed(1));
    control.set(first);
    return h("label", { class: "field" }, h("span", {}, t(key)), control.element);
  }
}

/** @param {keyof typeof ACTIVATION} activation */
function chart(activation) {
  const line = svg("path", { class: "straight" });
  const bent = svg("path", { class: "bent" });
  const mark = svg("circle", { r: 3, class: "zero" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img" },
    ...[-1, 1, 2].map((y) => svg("path", { d: `M0 ${toY(y)}H${WIDTH}`, class: "grid" })),
    svg("path", { d: `M0 ${toY(0)}H${WIDTH}M${toX(0)} 0V${HEIGHT}`, class: "axis" }),
    ...[-1, 1].map((y) => label(toX(0) + 3, toY(y) + 3, String(y))), line, bent, mark);
  const name = t(`activation.${activation}`);
  const element = h("figure", {}, picture, h("figcaption", {}, name));

  /** @param {import("./neuron.js").Neuron} neuron */
  function draw(neuron) {
    const at = (/** @type {number} */ x) => outputAt(neuron, activation, x);
    line.setAttribute("d", pathOf(curve(neuron, (x) => neuron.weight * x + neuron.bias)));
    bent.setAttribute("d", pathOf(curve(neuron, at)));
    const zero = zeroOf(neuron);
    mark.setAttribute("visibility", zero === null ? "hidden" : "visible");
    mark.setAttribute("cx", toX(zero ?? 0));
    mark.setAttribute("cy", toY(at(zero ?? 0)));
    const [low, middle, high] = [RANGE.x_min, 0, RANGE.x_max].map((x) => at(x).toFixed(2));
    picture.setAttribute("aria-label", t("lessons.neuron.curve", { name, low, middle, high }));
  }
  return { element, draw };
}

/** @param {number} x @param {number} y @param {string} text */
function label(x, y, text) {
  const element = svg("text", { x, y, class: "tick" });
  element.textContent = text;
  return element;
}

/** @param {number[][]} points in data units */
function pathOf(points) {
  return `M${points.map(([x, y]) => `${toX(x).toFixed(2)} ${toY(y).toFixed(2)}`).join("L")}`;
}
