/** The network as a drawing: inputs, the map of each hidden unit, and its weights as links. */

import { h, refill, svg } from "../dom.js";
import { t, translate } from "../i18n.js";
import { withHidden } from "../logic/network.js";
import { MAX_LAYERS, MAX_UNITS } from "../logic/setup.js";
import { current, subscribe, update } from "../state.js";
import { themeColors } from "../theme.js";
import { paintUnit, schedule } from "./plane_view.js";

const WIDTH = 560;
const HEIGHT = 440;
/** Side of the map of a unit, by the number of hidden layers: as large as there is space for. */
const MAPS = [84, 84, 76, 60, 52];
const [LEAST_MAP, GAP] = [40, 14];
/** Space above the units for the controls of their number, and below them for the number of those that are not shown. */
const [TOP, BOTTOM] = [32, 16];
/** More hidden layers than this have no space for their controls side by side on a phone. */
const MANY_LAYERS = 3;
/** The dash pattern of negative weights. */
const DASHES = "7 4";

/** @param {HTMLElement} depth is filled with the control of the number of layers
 * @returns {HTMLElement} */
export function diagram(depth) {
  const links = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "links", "aria-hidden": "true" });
  const units = h("div", { class: "units" });
  const name = h("output", { class: "hovered" });
  const drawing = h("div", { class: "diagram" }, links, units);
  const element = h("div", {}, drawing, legend(), name);
  /** The shape that is laid out, as text. */
  let laidOut = "";
  /** The network whose weights are drawn. @type {unknown} */
  let shownNetwork = null;
  /** The maps that are painted. @type {unknown} */
  let shownUnits = null;
  /** @type {(HTMLCanvasElement | null)[][]} */
  let maps = [];

  function render() {
    const { setup, run, picture, points } = current();
    const hidden = picture?.network ? picture.network.dense.slice(0, -1).map((layer) => layer.bias.length) : setup.network.hidden;
    const isAuto = setup.preset === "auto";
    const inputs = inputNames(picture?.network?.dense[0]?.weight[0].length ?? 2, (isAuto ? run.network : setup.network)?.inputs, points.names);
    const layout = columns([inputs.length, ...hidden, picture?.network?.dense.at(-1)?.bias.length ?? 1]);
    const shape = JSON.stringify([inputs, hidden, isAuto, points.classes, run.order, layout.length, layout.at(-1)?.y.length, document.documentElement.lang]);
    if (shape !== laidOut) {
      laidOut = shape;
      maps = layOut(layout, inputs, hidden, isAuto);
    }
    shownNetwork = picture?.network ?? null;
    drawLinks(layout);
    paintMaps();
  }

  /** @param {Column[]} layout @param {string[]} inputs @param {number[]} hidden @param {boolean} isAuto */
  function layOut(layout, inputs, hidden, isAuto) {
    refill(depth,
      h("button", { type: "button", dataset: { i18nLabel: "network.fewer_layers" }, disabled: isAuto || !hidden.length, onclick: () => resize((widths) => widths.slice(0, -1)) }, "−"),
      h("span", {}, t(hidden.length === 1 ? "network.layer" : "network.layers", { count: hidden.length })),
      h("button", { type: "button", dataset: { i18nLabel: "network.more_layers" }, disabled: isAuto || hidden.length >= MAX_LAYERS, onclick: () => resize((widths) => [...widths, widths.at(-1) ?? 4]) }, "+"));
    /** @type {HTMLElement[]} */
    const built = layout[0].y.map((y, i) => h("span", { class: "input", title: inputs[i] }, inputs[i]));
    place(built, layout[0]);
    const all = hidden.map((count, layer) => {
      const column = layout[layer + 1];
      const width = h("div", { class: "width" },
        h("button", { type: "button", "aria-label": t("network.fewer_units", { layer: layer + 1 }), disabled: isAuto || count <= 1, onclick: () => widen(layer, -1) }, "−"),
        h("span", {}, String(count)),
        h("button", { type: "button", "aria-label": t("network.more_units", { layer: layer + 1 }), disabled: isAuto || count >= MAX_UNITS, onclick: () => widen(layer, 1) }, "+"));
      built.push(width);
      move(width, column.x, column.y[0] - column.size / 2 - 4);
      const buttons = column.y.map((_, unit) => {
        const canvas = h("canvas", { class: "map" });
        const button = h("button", {
          type: "button", class: "unit", "aria-label": t("network.unit", { layer: layer + 1, unit: unit + 1 }),
          onpointerenter: () => enlarge(layer, unit), onpointerleave: () => enlarge(null, 0),
          onfocus: () => enlarge(layer, unit), onblur: () => enlarge(null, 0),
        }, canvas);
        setSize(canvas, column.size);
        return button;
      });
      built.push(...buttons);
      place(buttons, column);
      if (column.y.length < count) {
        const more = h("span", { class: "more" }, t("network.more", { count: count - column.y.length }));
        built.push(more);
        move(more, column.x, HEIGHT - 8);
      }
      return buttons.map((button) => button.querySelector("canvas"));
    });
    const last = /** @type {Column} */ (layout.at(-1));
    const { points: { classes }, run: { order } } = current();
    const label = (/** @type {number} */ k) => String(classes[order[k]] ?? k);
    const outputs = last.y.map((_, k) => h("span", { class: "result", title: label(last.y.length === 1 ? 1 : k) }, last.y.length === 1 ? `p(${label(1)})` : label(k)));
    place(outputs, last);
    drawing.classList.toggle("many", hidden.length > MANY_LAYERS);
    refill(units, ...built, ...outputs);
    translate(units);
    translate(depth);
    return all;
  }

  /** Changes the hidden layers of the setup, which may be ahead of the network that is drawn.
   * @param {(widths: number[]) => number[]} change */
  function resize(change) {
    const { setup } = current();
    const hidden = change(setup.network.hidden).slice(0, MAX_LAYERS);
    update({ setup: { ...setup, network: withHidden(setup.network, hidden) } });
  }

  /** Adds units to a layer. @param {number} layer @param {number} units negative to remove some */
  function widen(layer, units) {
    resize((widths) => widths.map((width, i) => (i === layer ? Math.min(Math.max(width + units, 1), MAX_UNITS) : width)));
  }

  /** Shows a unit on the canvas, and its name and values. @param {number | null} layer @param {number} unit */
  function enlarge(layer, unit) {
    const { view, picture } = current();
    update({ view: { ...view, unit: layer === null ? null : { layer, unit } } });
    const dense = layer === null ? null : picture?.network?.dense[layer];
    name.textContent = dense ? `${dense.rowName(unit)} = [${dense.weight[unit].map(short).join(", ")}]   ${dense.biasName(unit)} = ${short(dense.bias[unit])}` : "";
    schedule();
  }

  /** @param {Column[]} layout */
  function drawLinks(layout) {
    const { picture } = current();
    const network = picture?.network;
    if (!network) return links.replaceChildren();
    const theme = themeColors();
    const paths = network.dense.flatMap((layer, depth) => between(layout[depth], layout[depth + 1], layer, theme));
    const beside = network.shortcut ? between(layout[0], /** @type {Column} */ (layout.at(-1)), network.shortcut, theme, HEIGHT - BOTTOM / 2) : [];
    links.replaceChildren(...beside, ...paths);
  }

  /** The links between two columns. @param {Column} from @param {Column} to @param {import("../logic/network.js").Dense} layer
   * @param {any} theme @param {number} [low] height of their middles, if they pass below the layers between */
  function between(from, to, layer, theme, low) {
    const most = Math.max(1e-9, ...layer.weight.flat().map(Math.abs));
    return to.y.flatMap((y, unit) => from.y.map((origin, input) => {
      const weight = layer.weight[unit]?.[input] ?? 0;
      const [x1, x2] = [from.x + from.size / 2, to.x - to.size / 2];
      const middle = (x1 + x2) / 2;
      // The middle of the curve goes three quarters of the way to the points that bend it.
      const bow = low === undefined ? 0 : (low - (origin + y) / 2) / 0.75;
      const d = `M${x1} ${origin}C${middle} ${origin + bow} ${middle} ${y + bow} ${x2} ${y}`;
      const width = 0.4 + 5 * (Math.abs(weight) / most);
      const path = svg("path", { d, fill: "none", stroke: weight < 0 ? theme.negative : theme.positive, "stroke-width": width.toFixed(2), "stroke-opacity": 0.85, ...(weight < 0 ? { "stroke-dasharray": DASHES } : {}) });
      const target = svg("path", { d, fill: "none", stroke: "transparent", "stroke-width": Math.max(8, width) });
      const text = `${layer.linkName(unit, input)} = ${short(weight)}`;
      target.addEventListener("pointerenter", () => (name.textContent = text));
      target.addEventListener("pointerleave", () => (name.textContent = ""));
      return svg("g", {}, path, target);
    }));
  }

  function paintMaps() {
    const { picture } = current();
    const theme = themeColors();
    shownUnits = picture?.units ?? null;
    maps.forEach((column, layer) => column.forEach((canvas, unit) => {
      const grid = picture?.units[layer];
      if (!canvas) return;
      if (grid && unit < grid.shape[0]) paintUnit(canvas, grid, unit, theme);
      else canvas.width = 1; // which also clears it
    }));
  }

  subscribe(({ picture }, changed) => {
    if (changed.has("setup") || (changed.has("picture") && picture?.network !== shownNetwork)) render();
    else if (changed.has("picture") && (picture?.units ?? null) !== shownUnits) paintMaps();
  });
  addEventListener("languagechange-page", render);
  addEventListener("themechange-page", render);
  return element;
}

/** Where the units of a layer are: their centres, in the units of the drawing.
 * @typedef {{x: number, y: number[], size: number}} Column */

/** @param {number[]} counts of units in each column
 * @returns {Column[]} */
function columns(counts) {
  const edge = 36;
  const space = HEIGHT - TOP - BOTTOM;
  const map = MAPS[counts.length - 2] ?? LEAST_MAP;
  return counts.map((count, i) => {
    const isMap = i > 0 && i < counts.length - 1;
    const shown = Math.min(count, MAX_UNITS);
    const step = Math.min(map + GAP, space / shown);
    const size = isMap ? Math.min(map, step - 2) : 24;
    const first = TOP + (space - step * shown) / 2 + step / 2;
    return { x: edge + (i * (WIDTH - 2 * edge)) / (counts.length - 1), y: Array.from({ length: shown }, (_, unit) => first + unit * step), size };
  });
}

/** What the lines and the colors of the drawing mean. @returns {HTMLElement} */
function legend() {
  const line = (/** @type {string} */ sign) => h("span", {}, svg("svg", { viewBox: "0 0 28 8", class: `sign ${sign}`, "aria-hidden": "true" }, svg("path", { d: "M0 4H28" })), h("span", { dataset: { i18n: `legend.${sign}` } }));
  return h("p", { class: "legend" }, line("positive"), line("negative"), h("span", {}, h("i", { class: "scale" }), h("span", { dataset: { i18n: "legend.maps" } })));
}

/** @param {Element[]} elements @param {Column} column */
function place(elements, column) {
  elements.forEach((element, i) => move(/** @type {HTMLElement} */ (element), column.x, column.y[i]));
}

/** Moves an element's centre, in shares of the drawing, which may be shown smaller.
 * @param {HTMLElement} element @param {number} x @param {number} y */
function move(element, x, y) {
  element.style.left = `${(100 * x) / WIDTH}%`;
  element.style.top = `${(100 * y) / HEIGHT}%`;
}

/** Sizes a map, as a share of the width of the drawing. @param {HTMLCanvasElement} canvas @param {number} size */
function setSize(canvas, size) {
  canvas.style.width = canvas.style.height = `${(100 * size) / WIDTH}cqw`;
}

/** @param {number} count @param {string[] | null | undefined} terms @param {string[] | null} names
 * @returns {string[]} */
function inputNames(count, terms, names) {
  const own = terms?.length === count ? terms : names?.length === count ? names : count <= 2 ? ["x", "y"] : Array.from({ length: count }, (_, i) => `x${i + 1}`);
  return own.slice(0, count).map((name) => name.replace("^2", "²").replace("*", "·"));
}

/** @param {number} value */
function short(value) {
  return Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 0.001) ? value.toExponential(2) : String(Number(value.toFixed(3)));
}
