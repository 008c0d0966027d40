/**
 * Cut time steps out of row-major arrays, and put them back: time need not be the first axis.
 *
 * @module
 */
import { countOf } from "./recurrent.js";

/** @typedef {import("./recurrent.js").Size} Size */
/** @typedef {import("./recurrent.js").Sizes} Sizes */
/** @typedef {Float32Array | Float64Array | BigInt64Array | Uint8Array} Values */

/**
 * Copy some time steps; values without a time axis are the same for all of them.
 * @template {Values} V
 * @param {{shape: Size[]}} spec of the values
 * @param {V} values of all time steps
 * @param {Sizes} sizes of all of them
 * @param {number} from the first one to copy
 * @param {number} count how many to copy
 * @returns {V}
 */
export function takeSteps(spec, values, sizes, from, count) {
  if (!spec.shape.includes("time")) return values;
  const { outer, inner } = aroundTime(spec, sizes);
  const taken = /** @type {V} */ (new /** @type {any} */ (values.constructor)(outer * count * inner));
  for (let i = 0; i < outer; i++) {
    const start = (i * sizes.time + from) * inner;
    set(taken, values.subarray(start, start + count * inner), i * count * inner);
  }
  return taken;
}

/**
 * Put some time steps to their place. Values without a time axis are those of the last step: they replace all.
 * @template {Values} V
 * @param {{shape: Size[]}} spec of the values
 * @param {V} some the values of some time steps
 * @param {V} values of all time steps
 * @param {Sizes} sizes of all of them
 * @param {number} from the first time step of `some`
 */
export function placeSteps(spec, some, values, sizes, from) {
  if (!spec.shape.includes("time")) return set(values, some, 0);
  const { outer, inner } = aroundTime(spec, sizes);
  const piece = some.length / outer;
  for (let i = 0; i < outer; i++) {
    set(values, some.subarray(i * piece, (i + 1) * piece), (i * sizes.time + from) * inner);
  }
}

/**
 * Tell how many pieces there are before the time axis, and how many values a time step of each has.
 * @param {{shape: Size[]}} spec
 * @param {Sizes} sizes
 */
function aroundTime({ shape }, sizes) {
  const axis = shape.indexOf("time");
  return {
    outer: countOf({ shape: shape.slice(0, axis) }, sizes),
    inner: countOf({ shape: shape.slice(axis + 1) }, sizes),
  };
}

/**
 * @param {Values} target
 * @param {Values} source of the same type
 * @param {number} at
 */
function set(target, source, at) {
  /** @type {any} */ (target).set(source, at);
}
