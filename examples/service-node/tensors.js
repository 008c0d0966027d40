/**
 * Tensors of the Open Inference Protocol, as JSON or as bytes, from and to typed arrays.
 *
 * @module
 */
import { setImmediate as others } from "node:timers/promises";

import { ServiceError, show } from "./errors.js";

/** @typedef {import("./recurrent.js").TensorSpec} TensorSpec */
/** @typedef {{vocabulary?: number, role?: string, initial?: unknown, output_name?: string, input_name?: string}} Facts */
/** @typedef {TensorSpec & Facts} Described what the manifest has of a tensor, and its part in a call */
/** @typedef {import("./recurrent.js").Values} Values */
/** @typedef {import("./recurrent.js").Sizes} Sizes what is known of the free sizes */

const TYPES = {
  float32: { datatype: "FP32", bytes: 4, array: Float32Array },
  int64: { datatype: "INT64", bytes: 8, array: BigInt64Array },
  bool: { datatype: "BOOL", bytes: 1, array: Uint8Array },
};
/** @type {Record<TensorSpec["dtype"], {fits: (value: any) => boolean, words: string}>} */
const JSON_TYPES = {
  float32: { fits: (value) => typeof value === "number", words: "a number" },
  int64: { fits: Number.isSafeInteger, words: "an integer (a large one: as binary data)" },
  bool: { fits: (value) => typeof value === "boolean", words: "true or false" },
};
const AT_ONCE = 8192; // numbers that are written before others get their turn

/** @param {TensorSpec} spec */
export function describe({ name, dtype, shape }) {
  return { name, datatype: TYPES[dtype].datatype, shape: shape.map((size) => (typeof size === "number" ? size : -1)) };
}

/**
 * Say which axes of a tensor are time and batch, and what its part in a call is: the protocol's parameters.
 * @param {Described} spec
 */
export function parametersOf({ shape, role, vocabulary, initial, output_name, input_name }) {
  const axes = ["time", "batch"].filter((axis) => shape.includes(axis));
  return {
    role,
    ...Object.fromEntries(axes.map((axis) => [`${axis}_axis`, shape.indexOf(axis)])),
    vocabulary,
    output_name,
    input_name,
    initial: Array.isArray(initial) ? undefined : initial,
  };
}

/** @param {TensorSpec} spec */
export function bytesOf({ dtype }) {
  return TYPES[dtype].bytes;
}

/**
 * Check a shape and note its time steps and rows.
 * @param {TensorSpec} spec
 * @param {unknown} shape
 * @param {Sizes} sizes those of the tensors before, which have to be the same
 */
function checkShape({ name, shape: expected }, shape, sizes) {
  const before = { ...sizes };
  const wrong = () => {
    const wanted = expected.map((size) => (typeof size === "string" ? (before[size] ?? size) : size)).join(", ");
    const got = Array.isArray(shape) ? `[${shape.slice(0, 8).map(show).join(", ")}]` : show(shape);
    return new ServiceError(
      400,
      `${name}: expected the shape [${wanted}], got ${got}: send it so, every size 1 or more`,
    );
  };
  if (!Array.isArray(shape) || shape.length !== expected.length) throw wrong();
  expected.forEach((size, axis) => {
    const got = shape[axis];
    if (!Number.isSafeInteger(got) || got < 1) throw wrong();
    if (typeof size === "number" ? got !== size : got !== (sizes[size] ?? got)) throw wrong();
    if (typeof size === "string") sizes[size] = got;
  });
}

/**
 * Lay nested lists out as one; each has to be as long as its axis.
 * @param {string} name
 * @param {unknown} data
 * @param {number[]} shape
 * @returns {unknown[]}
 */
function flatten(name, data, shape) {
  /** @type {unknown[]} */
  const flat = [];
  /** @param {unknown} list @param {number} axis */
  const visit = (list, axis) => {
    if (!Array.isArray(list) || list.length !== shape[axis]) {
      throw new ServiceError(
        400,
        `${name}: expected lists of ${shape[axis]} on axis ${axis}, got ${show(list)}: send data as its shape says, or flat`,
      );
    }
    for (const element of list) axis + 1 < shape.length ? visit(element, axis + 1) : flat.push(element);
  };
  visit(data, 0);
  return flat;
}

/**
 * @param {TensorSpec} spec
 * @param {unknown} data
 * @param {number[]} shape
 * @returns {Values}
 */
function fromJson({ name, dtype }, data, shape) {
  const list = Array.isArray(data) && Array.isArray(data[0]) ? flatten(name, data, shape) : data;
  const count = shape.reduce((all, size) => all * size, 1);
  if (!Array.isArray(list) || list.length !== count) {
    throw new ServiceError(400, `${name}: expected data, a list of ${count} numbers, got ${show(list)}: send as many`);
  }
  const { fits, words } = JSON_TYPES[dtype];
  const wrong = list.findIndex((value) => !fits(value));
  if (wrong >= 0) {
    throw new ServiceError(400, `${name}[${wrong}]: expected ${words}, got ${show(list[wrong])}: send one`);
  }
  return dtype === "int64" ? BigInt64Array.from(list, BigInt) : TYPES[dtype].array.from(list);
}

/**
 * @param {TensorSpec} spec
 * @param {Buffer} bytes
 * @param {number[]} shape
 * @returns {Values}
 */
function fromBytes({ name, dtype }, bytes, shape) {
  const { bytes: width, array } = TYPES[dtype];
  const expected = shape.reduce((all, size) => all * size, width);
  if (bytes.length !== expected) {
    throw new ServiceError(
      400,
      `${name}: expected ${expected} bytes of binary data, got ${bytes.length}: send as many`,
    );
  }
  return new array(Uint8Array.from(bytes).buffer); // a copy: bytes need not be aligned
}

/**
 * Read a tensor of a request.
 * @param {TensorSpec} spec
 * @param {any} tensor of the request
 * @param {Buffer | null} bytes its binary data
 * @param {Sizes} sizes the time steps and rows; those that are not known yet are noted
 * @returns {Values}
 * @throws {ServiceError} with status 400
 */
export function decode(spec, tensor, bytes, sizes) {
  const { name, dtype } = spec;
  const { datatype } = TYPES[dtype];
  if (tensor.datatype !== datatype) {
    throw new ServiceError(400, `${name}: expected the datatype ${datatype}, got ${show(tensor.datatype)}: send it so`);
  }
  checkShape(spec, tensor.shape, sizes);
  if (bytes && tensor.data !== undefined) {
    throw new ServiceError(400, `${name}: expected data or binary_data_size, got both: send one of them`);
  }
  const values = bytes ? fromBytes(spec, bytes, tensor.shape) : fromJson(spec, tensor.data, tensor.shape);
  const wrong = findNonFinite(values);
  if (wrong >= 0) {
    throw new ServiceError(
      400,
      `${name}[${wrong}]: expected a finite float32, got ${values[wrong]}: leave it out or replace it`,
    );
  }
  const other = values instanceof Uint8Array ? values.findIndex((value) => value > 1) : -1;
  if (other < 0) return values;
  throw new ServiceError(400, `${name}[${other}]: expected a byte of 0 or 1, got ${values[other]}: send one`);
}

/** @param {Values} values */
function findNonFinite(values) {
  return values instanceof Float32Array ? values.findIndex((value) => !Number.isFinite(value)) : -1;
}

/**
 * Write values as a JSON list.
 * @param {string} name
 * @param {Values} values
 * @returns {Promise<Buffer[]>} to be joined
 * @throws {ServiceError} with status 422 if JSON has no name for one of them
 */
export async function toJson(name, values) {
  const wrong = findNonFinite(values);
  if (wrong >= 0) {
    const todo = "ask for binary data, or look at what the model was given";
    throw new ServiceError(
      422,
      `${name}[${wrong}]: expected a number that JSON can carry, got ${values[wrong]}: ${todo}`,
    );
  }
  if (values.length <= AT_ONCE) return [Buffer.from(`[${joined(values)}]`)];
  const parts = [];
  for (let i = 0; i < values.length; i += AT_ONCE) {
    parts.push(Buffer.from(`${i ? "," : "["}${joined(values.subarray(i, i + AT_ONCE))}`));
    await others();
  }
  return [...parts, Buffer.from("]")];
}

/** @param {Values} values */
function joined(values) {
  return values instanceof Uint8Array ? Array.from(values, Boolean).join(",") : values.join(",");
}

/** @param {Values} values */
export function toBytes({ buffer, byteOffset, byteLength }) {
  return Buffer.from(buffer, byteOffset, byteLength);
}
