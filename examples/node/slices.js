/**
 * Cut time steps out of row-major arrays, and put them back: time need not be the first axis.
 *
 * @module
 */
import { countOf } from "./recurrent.js";

/** @typedef {import("./recurrent.js").Size} Size */
/** @typedef {Float32Array | Float64Array | BigInt64Array} Values */

/**
 * Copy some time steps.
 * @template {Values} V
 * @param {{shape: Size[]}} spec of the values
 * @param {V} values of all time steps
 * @param {number} steps how many that are
 * @param {number} batch
 * @param {number} from the first one to copy
 * @param {number} count how many to copy
 * @returns {V}
 */
export function takeSteps(spec, values, steps, batch, from, count) {
  const { outer, inner } = aroundTime(spec, batch);
  const taken = /** @type {V} */ (new /** @type {any} */ (values.constructor)(outer * count * inner));
  for (let i = 0; i < outer; i++) {
    const start = (i * steps + from) * inner;
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
 * @param {number} steps how many that are
 * @param {number} batch
 * @param {number} from the first time step of `some`
 */
export function placeSteps(spec, some, values, steps, batch, from) {
  if (!spec.shape.includes("time")) return set(values, some, 0);
  const { outer, inner } = aroundTime(spec, batch);
  const piece = some.length / outer;
  for (let i = 0; i < outer; i++) {
    set(values, some.subarray(i * piece, (i + 1) * piece), (i * steps + from) * inner);
  }
}

/**
 * Tell how many pieces there are before the time axis, and how many values a time step of each has.
 * @param {{shape: Size[]}} spec
 * @param {number} batch
 */
function aroundTime({ shape }, batch) {
  const axis = shape.indexOf("time");
  return {
    outer: countOf({ shape: shape.slice(0, axis) }, 1, batch),
    inner: countOf({ shape: shape.slice(axis + 1) }, 1, batch),
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
