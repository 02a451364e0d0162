/** Arrays of `.npy` files, in the types that the service sends. */

/** @typedef {{shape: number[], values: Float32Array | Float64Array | Uint8Array | Int32Array}} NpyArray */

/** @type {Record<string, any>} */
const TYPES = { "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array, "<i4": Int32Array };

/** Reads a file of version 1 or 2, in C order.
 * @param {ArrayBuffer} buffer
 * @returns {NpyArray} */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x934e554d) throw new Error("This is no .npy file.");
  const isFirst = view.getUint8(6) === 1;
  const start = isFirst ? 10 : 12;
  const length = isFirst ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length));
  const type = /'descr': *'([^']+)'/.exec(header)?.[1] ?? "";
  const Type = TYPES[type];
  if (!Type || header.includes("'fortran_order': True")) throw new Error(`Arrays like ${header.trim()} are not read.`);
  const shape = (/'shape': *\(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  return { shape, values: new Type(buffer, start + length) };
}
