/**
 * A bundle's model in Node: `Model` runs whole sequences, `Session` streams them one time step at a time.
 *
 * ONNX Runtime is seen here alone. Values are row-major typed arrays, Float32Array where the manifest says
 * float32, BigInt64Array where it says int64 (token ids, as a rule), Uint8Array of 0 and 1 where it says bool.
 * A model of one tensor of inputs takes such an array, one of several an object of them by name; outputs alike.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { InferenceSession, Tensor } from "onnxruntime-node";

/** @typedef {Float32Array | BigInt64Array | Uint8Array} Values */
/** @typedef {Record<string, Values>} Named arrays by the names of their tensors */
/** @typedef {Values | Named} Inputs an array, or of a model that takes several, all by name */
/** @typedef {any} Outputs an array, or of a model that gives several, all by name */
/** @typedef {Values[]} State the leaves of the state, in the manifest's order */
/** @typedef {number | string} Size a number, "time", "batch", or the name of another size that a call may choose */
/** @typedef {Record<string, number>} Sizes `time`, `batch`, and others that a call may choose */
/** @typedef {{name: string, dtype: "float32" | "int64" | "bool", shape: Size[]}} TensorSpec */
/** @typedef {number | boolean | any[]} Nested a number, or lists of them, nested as deep as there are axes */
/** @typedef {TensorSpec & {initial: Nested, output_name: string}} LeafSpec `initial` is the first value of a row */
/** @typedef {TensorSpec & {vocabulary?: number}} InputSpec `vocabulary`: the number of token ids, if known */
/** @typedef {{inputs: InputSpec[], state: LeafSpec[], outputs: TensorSpec[]}} Signature */
/**
 * @typedef {object} Manifest
 * @property {Signature & {lengths: boolean, streamable: boolean}} signature
 * @property {{vocabulary?: string}} metadata
 * @property {string} format
 * @property {number} format_version
 * @property {Record<string, {bytes: number, sha256: string}>} files
 */

const FORMAT_VERSION = 2; // of manifest.json
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };

/**
 * Give the sizes of a tensor.
 * @param {{shape: Size[]}} spec
 * @param {Sizes} sizes
 * @returns {number[]}
 */
export function sizesOf(spec, sizes) {
  return spec.shape.map((size) => (typeof size === "number" ? size : sizes[size]));
}

/**
 * Give the number of values of a tensor.
 * @param {{shape: Size[]}} spec
 * @param {Sizes} sizes
 */
export function countOf(spec, sizes) {
  return sizesOf(spec, sizes).reduce((all, size) => all * size, 1);
}

/**
 * Give arrays by name, of which one that is alone needs none.
 * @param {TensorSpec[]} specs
 * @param {any} given
 * @returns {Named}
 * @throws {TypeError} if one is missing, or there is no such name
 */
export function byName(specs, given) {
  const names = specs.map(({ name }) => name);
  const isObject = Object.getPrototypeOf(given ?? 0) === Object.prototype;
  if (!isObject && names.length === 1) return { [names[0]]: given };
  const got = isObject ? Object.keys(given) : [];
  if (got.length === names.length && names.every((name) => got.includes(name))) return given;
  const came = isObject ? got.join(", ") || "none" : given?.constructor?.name;
  throw new TypeError(`expected an object of arrays called ${names.join(", ")}, got ${came}`);
}

/**
 * Give the array itself where there is one, else all by name.
 * @param {Named} arrays
 * @returns {Outputs}
 */
export function alone(arrays) {
  const all = Object.values(arrays);
  return all.length === 1 ? all[0] : arrays;
}

/** A model of a bundle, ready to run. Any number of sessions share it. */
export class Model {
  #runtime;

  /**
   * Use `Model.load`.
   * @param {Manifest} manifest
   * @param {InferenceSession} runtime
   */
  constructor(manifest, runtime) {
    /** The bundle's manifest.json. */
    this.manifest = manifest;
    /** The names, dtypes and shapes of the inputs, the leaves of the state, and the outputs. */
    this.signature = manifest.signature;
    const { vocabulary } = manifest.metadata;
    /** The character of each token id, or null: not a text model. */
    this.vocabulary = vocabulary ? Array.from(vocabulary) : null;
    this.#runtime = runtime;
  }

  /**
   * Load manifest.json and model.onnx.
   * @param {string} folder of a bundle
   * @param {InferenceSession.SessionOptions} [options] of ONNX Runtime; one thread, unless they say otherwise
   * @returns {Promise<Model>}
   * @throws {Error} if there is no bundle, or one that cannot be streamed
   */
  static async load(folder, options = {}) {
    const manifest = await readManifest(folder);
    checkManifest(folder, manifest);
    const runtime = await InferenceSession.create(join(folder, "model.onnx"), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4, // errors are thrown all the same
      ...options,
    });
    return new Model(manifest, runtime);
  }

  /**
   * Give the state that a model begins with.
   * @param {number} [batch]
   * @returns {State}
   */
  initialState(batch = 1) {
    checkCount("rows", batch);
    return this.signature.state.map((leaf) => initialValue(leaf, batch));
  }

  /**
   * Run whole sequences.
   *
   * ONNX Runtime computes on the thread that calls: the event loop waits as long.
   * @param {Inputs} inputs of the shapes in `signature.inputs`, as a rule [steps, batch, ...]
   * @param {number} steps
   * @param {number} batch
   * @param {State} [state] of the shapes in `signature.state`; without it, the initial state. It is not changed
   * @returns {Promise<{outputs: Outputs, state: State}>} the outputs, of the shapes in `signature.outputs`
   *   (without "time" there: of the last time step), and the state behind the last time step
   * @throws {TypeError | RangeError} if an array is missing or is not of the type or the size that the model takes, or
   *   there is no such token id
   * @throws {Error} what ONNX Runtime throws
   */
  async run(inputs, steps, batch, state = this.initialState(batch)) {
    checkCount("time steps", steps);
    checkCount("rows", batch);
    const { inputs: taken, state: leaves, outputs } = this.signature;
    this.checkState(state, batch);
    const given = byName(taken, inputs);
    const sizes = this.sizes(given, steps, batch);
    this.checkTokens(given);
    const feeds = Object.fromEntries(
      [...taken, ...leaves].map((spec, i) => {
        const values = i < taken.length ? given[spec.name] : state[i - taken.length];
        return [spec.name, new Tensor(spec.dtype, values, sizesOf(spec, sizes))];
      }),
    );
    const results = await this.#runtime.run(feeds);
    /** @param {string} name */
    const dataOf = (name) => /** @type {Values} */ (results[name].data);
    return {
      outputs: alone(Object.fromEntries(outputs.map(({ name }) => [name, dataOf(name)]))),
      state: leaves.map((leaf) => dataOf(leaf.output_name)),
    };
  }

  /**
   * Check inputs, and tell the sizes of a call: those that are not time or batch follow from how many values there are.
   * @param {Named} inputs
   * @param {number} steps
   * @param {number} batch
   * @returns {Sizes}
   * @throws {TypeError | RangeError} if one is not of the type or the size that the model takes
   */
  sizes(inputs, steps, batch) {
    /** @type {Sizes} */
    const sizes = { time: steps, batch };
    for (const spec of this.signature.inputs) {
      const free = spec.shape.find((size) => !(size in sizes) && typeof size === "string");
      if (free) sizes[free] = 1;
      if (free) sizes[free] = Math.max(1, Math.floor(inputs[spec.name]?.length / countOf(spec, sizes)));
      checkValues(spec, inputs[spec.name], sizes);
    }
    return sizes;
  }

  /**
   * Check that a state is one of this model, for some rows.
   * @param {State} state
   * @param {number} batch
   * @throws {TypeError | RangeError} if it is not
   */
  checkState(state, batch) {
    const leaves = this.signature.state;
    if (state.length !== leaves.length) {
      throw new RangeError(`state: expected ${leaves.length} leaves, got ${state.length}`);
    }
    leaves.forEach((leaf, i) => checkValues(leaf, state[i], { batch }));
  }

  /**
   * Check that token ids are in the vocabulary, where that is known: not every runtime refuses others.
   * @param {Named} inputs
   * @throws {RangeError} if one is not
   */
  checkTokens(inputs) {
    for (const { name, vocabulary: end } of this.signature.inputs) {
      if (end === undefined) continue;
      const wrong = /** @type {any[]} */ (/** @type {unknown} */ (inputs[name])).findIndex((id) => id < 0 || id >= end);
      if (wrong < 0) continue;
      throw new RangeError(`${name}[${wrong}]: expected a token id from 0 to ${end - 1}, got ${inputs[name][wrong]}`);
    }
  }
}

/** A stream of one or more rows: keeps the state between time steps. */
export class Session {
  /** @type {State} */
  #state;
  #running = false;

  /**
   * @param {Model} model
   * @param {number} [batch] how many rows are streamed side by side
   */
  constructor(model, batch = 1) {
    this.model = model;
    this.batch = batch;
    this.#state = model.initialState(batch);
  }

  /**
   * Run one time step.
   * @param {Inputs} inputs of one time step, [batch, ...]; what is the same for a whole call goes into every step
   * @returns {Promise<Outputs>} the outputs of that time step, [batch, ...]
   * @throws {Error} as `Model.run` does, the state then stays what it was; or if the step before has not ended
   */
  async step(inputs) {
    this.#checkIdle();
    this.#running = true;
    try {
      const { outputs, state } = await this.model.run(inputs, 1, this.batch, this.#state);
      this.#state = state;
      return outputs;
    } finally {
      this.#running = false;
    }
  }

  /**
   * Begin again, from the initial state or from one that `state` gave.
   * @param {State} [state]
   * @throws {TypeError | RangeError} if it is not a state of the model
   */
  reset(state = this.model.initialState(this.batch)) {
    this.#checkIdle();
    this.model.checkState(state, this.batch);
    this.#state = state.map((values) => values.slice());
  }

  /** A copy of the state behind the last time step. */
  get state() {
    return this.#state.map((values) => values.slice());
  }

  #checkIdle() {
    if (this.#running) throw new Error("expected the step before to have ended, got a second one: await each");
  }
}

/**
 * @param {string} folder
 * @returns {Promise<Manifest>}
 */
async function readManifest(folder) {
  const path = join(folder, "manifest.json");
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    const got = error instanceof Error ? error.message : error;
    throw new Error(`${path}: expected a bundle's manifest, got ${got}: name the folder of a bundle`, { cause: error });
  }
}

/**
 * @param {string} folder
 * @param {Manifest} manifest
 */
function checkManifest(folder, { format, format_version: version, signature }) {
  if (format !== "rnn_export.bundle") throw new Error(`${folder}: expected an rnn_export.bundle, got ${format}`);
  if (version !== FORMAT_VERSION) {
    const expected = `expected manifest format ${FORMAT_VERSION}, got ${version}`;
    throw new Error(`${folder}: ${expected}: export and scaffold with one rnn-export`);
  }
  const { inputs, state, outputs } = signature;
  if (!signature.streamable || signature.lengths) {
    throw new Error(`${folder}: expected a streamable model without lengths, got another: export it so`);
  }
  for (const { name, dtype } of [...inputs, ...state, ...outputs]) {
    if (!ARRAYS[dtype]) throw new Error(`${folder}: ${name}: expected float32, int64 or bool, got ${dtype}: export it so`);
  }
}

/**
 * @param {string} what
 * @param {number} count
 */
function checkCount(what, count) {
  if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`expected 1 or more ${what}, got ${count}`);
}

/**
 * @param {TensorSpec} spec
 * @param {Values} values
 * @param {Sizes} sizes
 */
function checkValues(spec, values, sizes) {
  const expected = ARRAYS[spec.dtype];
  if (!(values instanceof expected)) {
    const got = /** @type {any} */ (values)?.constructor?.name;
    throw new TypeError(`${spec.name}: expected a ${expected.name}, got ${got}`);
  }
  const count = countOf(spec, sizes);
  if (values.length !== count) {
    const shape = sizesOf(spec, sizes).join(", ");
    throw new RangeError(`${spec.name}: expected ${count} values, [${shape}], got ${values.length}`);
  }
  const wrong = values instanceof Uint8Array ? values.findIndex((value) => value > 1) : -1;
  if (wrong >= 0) throw new RangeError(`${spec.name}[${wrong}]: expected 0 or 1, got ${values[wrong]}`);
}

/**
 * Give the first value of a leaf: the manifest has it for one row, and it may have to be broadcast.
 * @param {LeafSpec} leaf
 * @param {number} batch
 * @returns {Values}
 */
function initialValue(leaf, batch) {
  const sizes = sizesOf(leaf, { batch });
  const row = leaf.shape.map((size, axis) => (size === "batch" ? -1 : axis)).filter((axis) => axis >= 0);
  const values = new ARRAYS[leaf.dtype](countOf(leaf, { batch }));
  const index = sizes.map(() => 0);
  for (let i = 0; i < values.length; i++) {
    const at = row.map((axis) => index[axis]);
    const value = broadcast(leaf.initial, at);
    values[i] = leaf.dtype === "int64" ? BigInt(value) : value;
    for (let axis = index.length - 1; axis >= 0 && ++index[axis] === sizes[axis]; axis--) index[axis] = 0;
  }
  return values;
}

/**
 * Read an element of a number or nested lists, as if they had the shape that the index is of.
 * @param {Nested} nested
 * @param {number[]} index
 * @returns {number}
 */
function broadcast(nested, index) {
  let depth = 0;
  for (let list = nested; Array.isArray(list); list = list[0]) depth++;
  for (const at of index.slice(index.length - depth)) {
    if (Array.isArray(nested)) nested = nested[nested.length === 1 ? 0 : at];
  }
  return Number(nested);
}
