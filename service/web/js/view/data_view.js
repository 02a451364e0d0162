/** The panel of the data: generators, own points, files, classes, noise and size. */

import { h, refill } from "../dom.js";
import { t, translate } from "../i18n.js";
import { chooseClasses, chooseGenerator, chooseStored, clearPoints, partOf, readFile, setData } from "../data.js";
import { rgbOf, mixed } from "../logic/colors.js";
import { windowOf, plane } from "../logic/plane.js";
import { MAX_CLASSES } from "../logic/setup.js";
import { showPicture } from "../pictures.js";
import { current, subscribe, update } from "../state.js";
import { classColors, themeColors } from "../theme.js";
import { choice, labelled, number, setNumber, slider } from "./controls.js";

const TILE = 44;

/** @param {HTMLElement} root */
export function mountData(root) {
  const tiles = h("div", { class: "tiles", role: "group", dataset: { i18nLabel: "data.generators" } });
  const file = h("input", { type: "file", accept: ".csv,.tsv,.txt,.json,.npy,.npz,.parquet,.arrow", hidden: true, onchange: () => readChosen(file) });
  const reading = readingForm();
  const stored = h("select", { onchange: () => stored.value && (chooseStored(stored.value), render()) });
  const palette = h("div", { class: "palette", role: "group", dataset: { i18nLabel: "data.brush" } });
  const fewer = h("button", { type: "button", dataset: { i18nLabel: "data.fewer_classes" }, onclick: () => chooseClasses(current().points.classes.length - 1) }, "−");
  const more = h("button", { type: "button", dataset: { i18nLabel: "data.more_classes" }, onclick: () => chooseClasses(current().points.classes.length + 1) }, "+");
  const noise = slider({ min: 0, max: 1, step: 0.01 }, (value) => setData({ noise: value }), (value) => value.toFixed(2));
  const size = slider({ min: 20, max: 2000, step: 10 }, (value) => setData({ n: value }), String);
  const seed = number({ min: 0, step: 1 }, (value) => setData({ seed: value }));
  const share = slider({ min: 0, max: 50, step: 5 }, (value) => update({ setup: { ...current().setup, validation: value / 100 } }), (value) => `${value} %`);
  const fresh = h("button", { type: "button", dataset: { i18nLabel: "data.new_seed" }, onclick: () => setData({ seed: Math.floor(Math.random() * 10000) }) }, "↻");
  const generated = h("div", {},
    labelled("data.noise", noise.element, { field: "data.noise" }),
    labelled("data.size", size.element, { field: "data.n" }),
    labelled("data.seed", h("span", { class: "pair" }, seed, fresh), { field: "data.seed" }));
  const axes = h("div", { class: "axes" });
  const understood = h("div", { class: "understood" });

  root.append(
    h("h2", { id: "data-heading", dataset: { i18n: "data.heading" } }),
    tiles, file, reading,
    labelled("data.stored", stored, { wide: true, field: "data.dataset" }),
    h("div", { class: "row-heading" }, h("h3", { dataset: { i18n: "data.classes" } }), fewer, more), palette,
    generated, axes,
    labelled("data.validation", share.element, { field: "training.validation_fraction" }),
    understood,
  );

  /** @type {HTMLElement[]} */
  let generatorTiles = [];
  /** The labels whose counts are shown.
   * @type {number[]} */
  let shownLabels = [];

  async function drawTiles() {
    const generators = current().datasets.filter((dataset) => dataset.type === "generated");
    generatorTiles = generators.map((dataset) => tile(dataset.name, () => chooseGenerator(dataset), drawExample(dataset.example)));
    const draw = tile("draw", () => {
      clearPoints();
      // On a phone, the plane is above this panel.
      document.querySelector(".plane")?.scrollIntoView({ block: "nearest" });
    }, drawSymbol("M8 36L12 26 30 8 36 14 18 32zM26 12L32 18"));
    const open = tile("file", () => file.click(), drawSymbol("M12 6H26L34 14V38H12zM26 6V14H34"));
    tiles.replaceChildren(...generatorTiles, draw, open);
    translate(tiles);
  }

  function render() {
    const { setup: { data, validation }, points, datasets, view } = current();
    generatorTiles.forEach((element) => element.setAttribute("aria-pressed", String(data.type === "generated" && element.dataset.name === data.dataset)));
    generated.hidden = data.type !== "generated";
    if (data.type === "generated") {
      noise.set(data.noise);
      size.set(data.n);
      setNumber(seed, data.seed);
    }
    share.set(Math.round(100 * validation));
    const names = datasets.filter((dataset) => dataset.type === "stored").map((dataset) => dataset.name);
    stored.replaceChildren(h("option", { value: "", disabled: data.type === "stored" }, t("data.none")), ...names.map((name) => h("option", { value: name }, name)));
    stored.value = data.type === "stored" ? data.dataset : "";
    renderPalette();
    renderAxes(points, view);
    renderUnderstood(data, datasets);
  }

  function renderPalette() {
    const { points, view } = current();
    shownLabels = points.labels;
    const colors = classColors();
    const swatches = points.classes.map((label, i) => {
      const count = points.labels.filter((own) => own === i).length;
      return h("button", {
        type: "button", class: "swatch", dataset: { name: i }, "aria-pressed": String(view.brush === i), title: t("data.class_title", { label, count, digit: i + 1 }), "aria-label": t("data.class_title", { label, count, digit: i + 1 }),
        onclick: () => update({ view: { ...current().view, brush: i } }),
      }, dot(colors[i]), String(label));
    });
    refill(palette, ...swatches,
      h("button", { type: "button", class: "swatch", "aria-pressed": String(view.brush === "erase"), dataset: { i18n: "data.erase" }, onclick: () => update({ view: { ...current().view, brush: "erase" } }) }));
    fewer.disabled = points.classes.length <= 2;
    more.disabled = points.classes.length >= MAX_CLASSES;
    translate(palette);
  }

  /** @param {import("../state.js").Points} points @param {import("../logic/setup.js").View} view */
  function renderAxes(points, view) {
    const features = points.points[0]?.length ?? 2;
    axes.hidden = features <= 2;
    if (features <= 2) return axes.replaceChildren();
    const names = points.names ?? Array.from({ length: features }, (_, i) => `x${i + 1}`);
    refill(axes, ...[0, 1].map((place) => {
      const select = h("select", {
        dataset: { name: place },
        onchange: () => {
          const chosen = [...current().view.axes];
          const other = 1 - place;
          if (Number(select.value) === chosen[other]) chosen[other] = chosen[place];
          chosen[place] = Number(select.value);
          update({ view: { ...current().view, axes: chosen }, window: null });
          showPicture();
        },
      }, ...names.map((name, i) => h("option", { value: i }, name)));
      select.value = String(view.axes[place]);
      return labelled(`data.axis_${place ? "y" : "x"}`, select);
    }));
    translate(axes);
  }

  /** @param {import("../logic/setup.js").Data} data @param {any[]} datasets */
  function renderUnderstood(data, datasets) {
    const dataset = data.type === "stored" ? datasets.find(({ name }) => name === data.dataset) : null;
    const { points } = current();
    const isPart = points.points.length < points.total;
    understood.replaceChildren(...(isPart ? [h("p", {}, t("data.part", partOf(points)))] : []), ...(dataset?.understood ? [
      h("p", {}, t("data.summary", { points: dataset.n_points, features: dataset.features.length, classes: dataset.classes.length })),
      ...(dataset.warnings ?? []).map((/** @type {string} */ warning) => h("p", { class: "warning", lang: "en" }, warning)),
      h("details", {}, h("summary", {}, t("data.understood")), ...dataset.understood.map((/** @type {string} */ line) => h("p", { lang: "en" }, line))),
    ] : []));
  }

  subscribe(({ points }, changed) => {
    if (changed.has("datasets")) drawTiles();
    if (changed.has("file")) reading.hidden = !current().file;
    // While a point moves, nothing of this panel changes.
    if (["datasets", "setup", "view"].some((key) => changed.has(/** @type {any} */ (key))) || (changed.has("points") && points.labels !== shownLabels)) render();
  });
  addEventListener("languagechange-page", render);
  addEventListener("themechange-page", () => (drawTiles(), render()));
}

/** Reads the file that was chosen. The same file can be chosen again, because it may have changed.
 * @param {HTMLInputElement} input */
function readChosen(input) {
  const [file] = input.files ?? [];
  if (file) readFile(file);
  input.value = "";
}

/** What to tell the service of a file that it refused. @returns {HTMLElement} */
function readingForm() {
  const cancel = () => {
    update({ file: null, problem: null });
    // The focus was in the form, which is hidden now.
    /** @type {HTMLElement | null} */ (document.querySelector(".tile[data-name=file]"))?.focus();
  };
  const label = h("input", { type: "text" });
  const drop = h("input", { type: "text" });
  const separator = choice(["", "comma", "semicolon", "tab", "space", "pipe"], () => {}, "separator");
  const decimal = choice(["", ".", ","], () => {}, "decimal");
  const header = choice(["", "true", "false"], () => {}, "header");
  const rows = h("input", { type: "checkbox" });
  const read = (/** @type {Event} */ event) => {
    event.preventDefault();
    const { file } = current();
    const given = { label: label.value, drop: drop.value, separator: separator.value, decimal: decimal.value, header: header.value, missing: rows.checked ? "drop" : "" };
    if (file) readFile(file, Object.fromEntries(Object.entries(given).filter(([, value]) => value)));
  };
  const form = h("form", { class: "reading", hidden: true, onsubmit: read },
    h("h3", { dataset: { i18n: "data.reading" } }),
    labelled("data.label_column", label, { wide: true, field: "label" }),
    labelled("data.drop_columns", drop, { wide: true, field: "drop" }),
    labelled("data.separator", separator, { field: "separator" }),
    labelled("data.decimal", decimal, { field: "decimal" }),
    labelled("data.header", header, { field: "header" }),
    h("label", { class: "check", dataset: { field: "missing" } }, rows, h("span", { dataset: { i18n: "data.drop_rows" } })),
    h("div", { class: "pair" },
      h("button", { dataset: { i18n: "data.read_again" } }),
      h("button", { type: "button", dataset: { i18n: "data.cancel" }, onclick: cancel })));
  /** The file that the form is about. @type {File | null} */
  let asked = null;
  subscribe(({ file }) => {
    if (file === asked) return;
    asked = file;
    form.reset();
  });
  return form;
}

/** @param {string} name @param {() => void} onclick @param {(context: CanvasRenderingContext2D) => void} paint
 * @returns {HTMLElement} */
function tile(name, onclick, paint) {
  const canvas = h("canvas", { width: 2 * TILE, height: 2 * TILE, "aria-hidden": "true" });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(2, 2);
  paint(context);
  return h("button", { type: "button", class: "tile", dataset: { name, i18nLabel: `data.${name}` }, onclick }, canvas, h("span", { dataset: { i18n: `data.${name}` } }));
}

/** @param {{points: number[][], labels: number[]} | undefined} example */
function drawExample(example) {
  return (/** @type {CanvasRenderingContext2D} */ context) => {
    if (!example) return;
    const { toX, toY } = plane(windowOf(example.points, [0, 1], 0.08), TILE);
    const colors = classColors();
    example.points.forEach(([x, y], i) => {
      context.beginPath();
      context.arc(toX(x), toY(y), 1.3, 0, 2 * Math.PI);
      context.fillStyle = colors[example.labels[i]];
      context.fill();
    });
  };
}

/** @param {string} path of a drawing of 44 x 44 */
function drawSymbol(path) {
  return (/** @type {CanvasRenderingContext2D} */ context) => {
    context.strokeStyle = themeColors().text;
    context.lineWidth = 1.5;
    context.stroke(new Path2D(path));
  };
}

/** A disc of a class's color. @param {string} color @returns {SVGElement} */
export function dot(color) {
  const rim = `rgb(${mixed(rgbOf(color), [0, 0, 0], 0.2)})`;
  const element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  element.setAttribute("viewBox", "0 0 12 12");
  element.setAttribute("class", "dot");
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of Object.entries({ cx: 6, cy: 6, r: 5, fill: color, stroke: rim })) circle.setAttribute(name, String(value));
  element.append(circle);
  return element;
}
