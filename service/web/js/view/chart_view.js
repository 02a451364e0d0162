/** Loss and accuracy over epochs, and the slider of the epoch on the same axis. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { epochTicks, nearestKept, placeOf } from "../logic/epochs.js";
import { percent } from "../logic/metrics.js";
import { showEpoch, pause } from "../playback.js";
import { current, subscribe } from "../state.js";
import { themeColors } from "../theme.js";

const HEIGHT = 104;
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 40, 8, 18];
const STEPS = 1000;

/** @returns {HTMLElement} */
export function chartView() {
  const canvas = h("canvas", { class: "chart", role: "img" });
  const slider = h("input", {
    type: "range", class: "epochs", min: 0, max: STEPS, step: "any", dataset: { i18nLabel: "chart.epoch" },
    oninput: () => {
      const { run } = current();
      if (!run.snapshots.length) return;
      pause();
      showEpoch(run.snapshots[nearestKept(run.snapshots, slider.value / STEPS, run.epochs)]);
    },
    onkeydown: (/** @type {KeyboardEvent} */ event) => event.key.startsWith("Arrow") && event.preventDefault(),
  });
  const legend = h("p", { class: "key" });
  const draw = () => {
    const { run, shownEpoch } = current();
    slider.disabled = !run.snapshots.length;
    slider.value = STEPS * placeOf(shownEpoch ?? run.epoch, run.epochs);
    slider.setAttribute("aria-valuetext", t("chart.at", { epoch: shownEpoch ?? run.epoch }));
    drawChart(canvas, run, shownEpoch ?? run.epoch);
    legend.replaceChildren(...figures(run, shownEpoch));
    canvas.setAttribute("aria-label", t("chart.label"));
  };
  subscribe((_, changed) => (changed.has("run") || changed.has("shownEpoch") || changed.has("view")) && requestAnimationFrame(draw));
  new ResizeObserver(draw).observe(canvas);
  addEventListener("languagechange-page", draw);
  addEventListener("themechange-page", draw);
  return h("div", { class: "progress" }, legend, canvas, slider);
}

/** The figures at the shown epoch.
 * @param {import("../state.js").Run} run @param {number | null} shownEpoch
 * @returns {HTMLElement[]} */
function figures(run, shownEpoch) {
  const at = valuesAt(run, shownEpoch);
  const loss = (/** @type {any} */ value) => (value == null ? "–" : value < 0.001 ? value.toExponential(1) : value.toFixed(3));
  const pair = (/** @type {string} */ kind, /** @type {string} */ one, /** @type {string} */ other) =>
    h("span", { class: kind, title: at.validation_loss == null ? "" : t("chart.pair") }, h("i", {}), `${t(`chart.${kind}`)} `, h("b", {}, one), at.validation_loss == null ? null : ` / ${other}`);
  return [
    pair("loss", loss(at.training_loss), loss(at.validation_loss)),
    pair("accuracy", percent(at.training_accuracy), percent(at.validation_accuracy)),
  ];
}

/** @param {import("../state.js").Run} run @param {number | null} shownEpoch
 * @returns {Record<string, number | null>} */
function valuesAt({ history, metrics, epochs, training }, shownEpoch) {
  if (shownEpoch === null || shownEpoch === epochs || !history) return metrics ?? {};
  const at = (/** @type {number} */ epoch) => nearestKept(history.epoch, placeOf(epoch, epochs), epochs);
  // Steps on all points report the training points as they were before the step: those of the epoch before.
  const isBefore = training?.optimizer !== "lbfgs" && !training?.batch_size;
  const [ofTraining, ofValidation] = [at(shownEpoch + Number(isBefore)), at(shownEpoch)];
  return Object.fromEntries(Object.entries(history).map(([name, column]) => [name, column?.[name.startsWith("training") ? ofTraining : ofValidation] ?? null]));
}

/** @param {HTMLCanvasElement} canvas @param {import("../state.js").Run} run @param {number} epoch */
function drawChart(canvas, { history, epochs }, epoch) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const [across, up] = [width, HEIGHT].map((length) => Math.round(length * ratio));
  if (canvas.width !== across || canvas.height !== up) [canvas.width, canvas.height] = [across, up];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const theme = themeColors();
  const toX = (/** @type {number} */ at) => LEFT + placeOf(at, epochs) * (width - LEFT - RIGHT);
  const toY = (/** @type {number} */ share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.lattice;
  context.lineWidth = 1;
  context.strokeRect(LEFT, TOP, width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
  const losses = [...(history?.training_loss ?? []), ...(history?.validation_loss ?? [])].filter((value) => value !== null);
  const most = Math.max(0.1, ...losses);
  context.textAlign = "right";
  context.fillText(most.toFixed(most < 10 ? 1 : 0), LEFT - 4, TOP + 8);
  context.fillText("0", LEFT - 4, HEIGHT - BOTTOM);
  context.textAlign = "left";
  context.fillText("100 %", width - RIGHT + 3, TOP + 8);
  context.fillText("0", width - RIGHT + 3, HEIGHT - BOTTOM);
  context.textAlign = "center";
  let end = Infinity;
  for (const tick of epochs ? epochTicks(epochs).reverse() : []) {
    const text = tick.toLocaleString("en");
    const half = context.measureText(text).width / 2;
    if (toX(tick) + half > end) continue;
    context.fillText(text, toX(tick), HEIGHT - 5);
    end = toX(tick) - half - 4;
  }
  if (!history) return;
  const line = (/** @type {(number | null)[] | null} */ column, /** @type {number} */ scale, /** @type {string} */ color, /** @type {number[]} */ dash) => {
    context.beginPath();
    let isDown = false;
    column?.forEach((value, i) => {
      if (value === null) return;
      context[isDown ? "lineTo" : "moveTo"](toX(history.epoch[i]), toY(value / scale));
      isDown = true;
    });
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  };
  line(history.training_accuracy, 1, theme.accent, []);
  line(history.validation_accuracy, 1, theme.accent, [3, 3]);
  line(history.training_loss, most, theme.text, []);
  line(history.validation_loss, most, theme.text, [3, 3]);
  context.fillStyle = theme.faint;
  context.fillRect(toX(epoch) - 0.5, TOP, 1, HEIGHT - TOP - BOTTOM);
}
