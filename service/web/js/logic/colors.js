/** Colors of classes and values. */

/** @typedef {[number, number, number]} Rgb */

/** The colors of the first eight classes. The service has the same; its answers name the colors of further ones. */
export const CLASS_COLORS = ["#c8372d", "#2f6fb3", "#427206", "#88377a", "#747576", "#005552", "#5a3b00", "#5a3ec6"];

/** Share of a class's color in its region, where the class is certain. */
const REGION = 0.45;

/** @param {string} code `#rrggbb` @returns {Rgb} */
export function rgbOf(code) {
  const number = parseInt(code.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

/** @param {Rgb} one @param {Rgb} other @param {number} share of the other @returns {Rgb} */
export function mixed(one, other, share) {
  return /** @type {Rgb} */ (one.map((value, i) => Math.round(value + (other[i] - value) * share)));
}

/** Colors of 256 values from 0 to 1, as bytes RGBA: for two classes, from the first class's region over the background to
 * the second one's.
 * @param {Rgb} background @param {Rgb} low @param {Rgb} high @param {number} [strength] share of a color at its end
 * @returns {Uint8ClampedArray} */
export function divergingScale(background, low, high, strength = REGION) {
  return scale((value) => mixed(background, value < 0.5 ? low : high, strength * Math.abs(2 * value - 1)));
}

/** Colors of 256 values from the background to a color.
 * @param {Rgb} background @param {Rgb} high @param {number} [strength]
 * @returns {Uint8ClampedArray} */
export function sequentialScale(background, high, strength = REGION) {
  return scale((value) => mixed(background, high, strength * value));
}

/** The color of each class's region, as bytes RGBA.
 * @param {Rgb} background @param {Rgb[]} colors
 * @returns {Uint8ClampedArray} */
export function regionColors(background, colors) {
  return bytes(colors.map((color) => mixed(background, color, REGION)));
}

/** Steps of the certainty of a class. */
export const CERTAINTIES = 32;

/** The colors of each class's region by certainty, as bytes RGBA: `CERTAINTIES` for each class.
 * @param {Rgb} background @param {Rgb[]} colors
 * @returns {Uint8ClampedArray} */
export function certaintyColors(background, colors) {
  const steps = [...Array(CERTAINTIES).keys()];
  return bytes(colors.flatMap((color) => steps.map((step) => mixed(background, color, (REGION * step) / (CERTAINTIES - 1)))));
}

/** @param {(value: number) => Rgb} colorOf */
function scale(colorOf) {
  return bytes(Array.from({ length: 256 }, (_, i) => colorOf(i / 255)));
}

/** @param {Rgb[]} colors */
function bytes(colors) {
  return new Uint8ClampedArray(colors.flatMap(([r, g, b]) => [r, g, b, 255]));
}

/** Pixels of an array whose row 0 is at the bottom.
 * @param {ArrayLike<number>} values (height x width)
 * @param {number} width @param {number} height
 * @param {Uint8ClampedArray} scaleBytes a color for each step
 * @param {(value: number, cell: number) => number} stepOf the step of a value
 * @param {Uint8ClampedArray} pixels written, RGBA, row 0 at the top */
export function paintValues(values, width, height, scaleBytes, stepOf, pixels) {
  for (let row = 0; row < height; row++) {
    let pixel = (height - 1 - row) * width * 4;
    for (let i = row * width; i < (row + 1) * width; i++) {
      const step = 4 * stepOf(values[i], i);
      pixels[pixel++] = scaleBytes[step];
      pixels[pixel++] = scaleBytes[step + 1];
      pixels[pixel++] = scaleBytes[step + 2];
      pixels[pixel++] = 255;
    }
  }
}
