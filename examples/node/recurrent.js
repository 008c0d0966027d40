/**
 * A bundle's model in Node: `Model` runs whole sequences, `Session` streams them one time step at a time.
 *
 * ONNX Runtime is seen here alone. Values are row-major typed arrays, Float32Array where the manifest says
 * float32, BigInt64Array where it says int64 (token ids, as a rule).
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { InferenceSession, Tensor } from "onnxruntime-node";

/** @typedef {Float32Array | BigInt64Array} Values */
/** @typedef {Values[]} State the leaves of the state, in the manifest's order */
/** @typedef {number | "time" | "batch"} Size */
/** @typedef {{name: string, dtype: "float32" | "int64", shape: Size[]}} TensorSpec */
/** @typedef {number | any[]} Nested a number, or lists of them, nested as deep as there are axes */
/** @typedef {TensorSpec & {initial: Nested, output_name: string}} LeafSpec `initial` is the first value of a row */
/** @typedef {TensorSpec & {vocabulary?: number}} InputSpec `vocabulary`: the number of token ids, if known */
/** @typedef {{inputs: InputSpec, state: LeafSpec[], outputs: TensorSpec}} Signature */
/** @typedef {{inputs: InputSpec[], state: LeafSpec[], outputs: TensorSpec[]}} Tensors as the manifest has them */
/**
 * @typedef {object} Manifest
 * @property {Tensors & {lengths: boolean, streamable: boolean}} signature
 * @property {{vocabulary?: string}} metadata
 * @property {string} format
 * @property {number} format_version
 * @property {Record<string, {bytes: number, sha256: string}>} files
 */

const FORMAT_VERSION = 2; // of manifest.json
const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

/**
 * Give the sizes of a tensor, for some time steps and rows.
 * @param {{shape: Size[]}} spec
 * @param {number} steps
 * @param {number} batch
 * @returns {number[]}
 */
export function sizesOf(spec, steps, batch) {
  return spec.shape.map((size) => (size === "time" ? steps : size === "batch" ? batch : size));
}

/**
 * Give the number of values of a tensor, for some time steps and rows.
 * @param {{shape: Size[]}} spec
 * @param {number} steps
 * @param {number} batch
 */
export function countOf(spec, steps, batch) {
  return sizesOf(spec, steps, batch).reduce((all, size) => all * size, 1);
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
    this.signature = signatureOf(manifest);
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
   * @throws {Error} if there is no bundle, or one that cannot be streamed, or that takes or gives several tensors
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

  /** How many numbers, or token ids, a row takes at each time step. */
  get inputSize() {
    return countOf(this.signature.inputs, 1, 1);
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
   * @param {Values} inputs of the shape in `signature.inputs`, as a rule [steps, batch, ...]
   * @param {number} steps
   * @param {number} batch
   * @param {State} [state] of the shapes in `signature.state`; without it, the initial state. It is not changed
   * @returns {Promise<{outputs: Float32Array, state: State}>} the outputs, of the shape in `signature.outputs`
   *   (without "time" there: of the last time step), and the state behind the last time step
   * @throws {TypeError | RangeError} if an array is not of the type or the size that the model takes, or there is no
   *   such token id
   * @throws {Error} what ONNX Runtime throws
   */
  async run(inputs, steps, batch, state = this.initialState(batch)) {
    checkCount("time steps", steps);
    checkCount("rows", batch);
    const { inputs: taken, state: leaves, outputs } = this.signature;
    this.checkState(state, batch);
    checkValues(taken, inputs, steps, batch);
    this.checkTokens(inputs);
    const feeds = Object.fromEntries(
      [taken, ...leaves].map((spec, i) => {
        const values = i === 0 ? inputs : state[i - 1];
        return [spec.name, new Tensor(spec.dtype, values, sizesOf(spec, steps, batch))];
      }),
    );
    const results = await this.#runtime.run(feeds);
    return {
      outputs: /** @type {Float32Array} */ (results[outputs.name].data),
      state: leaves.map((leaf) => /** @type {Values} */ (results[leaf.output_name].data)),
    };
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
    leaves.forEach((leaf, i) => checkValues(leaf, state[i], 1, batch));
  }

  /**
   * Check that token ids are in the vocabulary, where that is known: not every runtime refuses others.
   * @param {Values} inputs
   * @throws {RangeError} if one is not
   */
  checkTokens(inputs) {
    const { name, vocabulary: end } = this.signature.inputs;
    if (end === undefined) return;
    for (let i = 0; i < inputs.length; i++) {
      if (inputs[i] >= 0 && inputs[i] < end) continue;
      throw new RangeError(`${name}[${i}]: expected a token id from 0 to ${end - 1}, got ${inputs[i]}`);
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
   * @param {Values} inputs of one time step, [batch, ...]
   * @returns {Promise<Float32Array>} the outputs of that time step, [batch, ...]
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
  if (inputs.length !== 1 || outputs.length !== 1) {
    const expected = `expected one tensor of inputs and one of outputs, got ${inputs.length} and ${outputs.length}`;
    throw new Error(`${folder}: ${expected}: call its files as report.html shows`);
  }
  if (!signature.streamable || signature.lengths) {
    throw new Error(`${folder}: expected a streamable model without lengths, got another: export it so`);
  }
  for (const { name, dtype } of [...inputs, ...state, ...outputs]) {
    if (!ARRAYS[dtype]) throw new Error(`${folder}: ${name}: expected float32 or int64, got ${dtype}: export it so`);
  }
}

/**
 * @param {Manifest} manifest
 * @returns {Signature}
 */
function signatureOf({ signature: { inputs, state, outputs } }) {
  return { inputs: inputs[0], state, outputs: outputs[0] };
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
 * @param {number} steps
 * @param {number} batch
 */
function checkValues(spec, values, steps, batch) {
  const expected = ARRAYS[spec.dtype];
  if (!(values instanceof expected)) {
    const got = /** @type {any} */ (values)?.constructor?.name;
    throw new TypeError(`${spec.name}: expected a ${expected.name}, got ${got}`);
  }
  const count = countOf(spec, steps, batch);
  if (values.length !== count) {
    const shape = sizesOf(spec, steps, batch).join(", ");
    throw new RangeError(`${spec.name}: expected ${count} values, [${shape}], got ${values.length}`);
  }
}

/**
 * Give the first value of a leaf: the manifest has it for one row, and it may have to be broadcast.
 * @param {LeafSpec} leaf
 * @param {number} batch
 * @returns {Values}
 */
function initialValue(leaf, batch) {
  const sizes = sizesOf(leaf, 1, batch);
  const row = leaf.shape.map((size, axis) => (size === "batch" ? -1 : axis)).filter((axis) => axis >= 0);
  const values = new ARRAYS[leaf.dtype](countOf(leaf, 1, batch));
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
