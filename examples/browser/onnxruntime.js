/**
 * A bundle's model.onnx in a browser: Model runs whole sequences, Session streams them one time step at a time.
 *
 * ONNX Runtime Web is seen here alone. A call is that of recurrent.js, but for promises, and for arrays that are the
 * caller's own.
 */
import * as ort from "./ort/ort.wasm.min.mjs";
import { ARRAYS, alone, byName, checkCount, checkSignature, checkState, checkTokens, checkValues } from "./tensors.js";
import { product, sizesOf, sizesOfCall, zerosOf } from "./tensors.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would need the server to send COOP and COEP headers
ort.env.logLevel = "error";

const FORMAT_VERSION = 2; // of manifest.json

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`expected ${url}, got HTTP ${response.status}: is this the folder of a bundle?`);
  return response;
}

function checkManifest(url, { format, format_version: version, signature }) {
  if (format !== "rnn_export.bundle") throw new Error(`${url}: expected an rnn_export.bundle, got ${format}`);
  if (version !== FORMAT_VERSION) {
    const expected = `expected manifest format ${FORMAT_VERSION}, got ${version}`;
    throw new Error(`${url}: ${expected}: export and scaffold with one rnn-export`);
  }
  checkSignature(url, signature);
}

/** Read one element of a number or nested lists, as if they were broadcast to the shape that `index` is of. */
function broadcast(values, index) {
  if (!Array.isArray(values)) return values;
  let depth = 0;
  for (let list = values; Array.isArray(list); list = list[0]) depth++;
  return index.slice(index.length - depth).reduce((list, at) => list[list.length === 1 ? 0 : at], values);
}

/** Give the first value of one leaf of the state: the manifest has it for a row. */
function initialValue(spec, batch) {
  const sizes = sizesOf(spec, { batch });
  const values = new ARRAYS[spec.dtype](product(sizes));
  const convert = spec.dtype === "int64" ? BigInt : Number;
  for (let i = 0; i < values.length; i++) {
    let rest = i;
    const index = sizes.map(() => 0);
    for (let axis = sizes.length - 1; axis >= 0; rest = Math.floor(rest / sizes[axis]), axis--) {
      index[axis] = rest % sizes[axis];
    }
    values[i] = convert(broadcast(spec.initial, index.filter((_, axis) => spec.shape[axis] !== "batch")));
  }
  return values;
}

/** A model of a bundle, ready to run. Any number of sessions share it. */
export class Model {
  #runtime;

  constructor(manifest, runtime) {
    /** The bundle's manifest.json. */
    this.manifest = manifest;
    /** The names, dtypes and shapes of the inputs, the leaves of the state, and the outputs. */
    this.signature = manifest.signature;
    this.#runtime = runtime;
  }

  /**
   * Load manifest.json and model.onnx from the folder of a bundle.
   * @param {string | URL} url ends with a slash
   * @returns {Promise<Model>}
   * @throws {Error} if there is no bundle, or one that cannot be streamed
   */
  static async load(url) {
    const base = new URL(url, location.href);
    const manifest = await (await download(new URL("manifest.json", base))).json();
    checkManifest(base, manifest);
    const bytes = await (await download(new URL("model.onnx", base))).arrayBuffer();
    return new Model(manifest, await ort.InferenceSession.create(new Uint8Array(bytes)));
  }

  /** The character of each token id, or null: not a text model. */
  get vocabulary() {
    const { vocabulary } = this.manifest.metadata;
    return vocabulary ? Array.from(vocabulary) : null;
  }

  /** Begin a stream of one or more rows. */
  session(batch = 1) {
    return new Session(this, batch);
  }

  /** Give the state that a model begins with. */
  initialState(batch = 1) {
    checkCount("rows", batch);
    return this.signature.state.map((leaf) => initialValue(leaf, batch));
  }

  /**
   * Run whole sequences.
   * @param {Float32Array | BigInt64Array | Uint8Array | object} inputs of the shapes in `signature.inputs`, as a rule
   *   [steps, batch, ...]; several by name
   * @param {number} steps
   * @param {number} batch
   * @param {Array} [state] of the shapes in `signature.state`; without it, the initial state
   * @returns {Promise<{outputs: any, state: Array}>} the outputs, of the shapes in `signature.outputs`, several by name
   *   (without "time" there: of the last time step), and the state behind the last time step
   * @throws {TypeError | RangeError} if an array is missing or is not of the type or the size that the model takes, or
   *   there is no such token id
   */
  async run(inputs, steps, batch, state = this.initialState(batch)) {
    checkCount("time steps", steps);
    checkCount("rows", batch);
    const { inputs: taken, state: leaves, outputs } = this.signature;
    const given = byName(taken, inputs);
    const sizes = this.sizes(given, steps, batch);
    for (const spec of taken) checkValues(spec, given[spec.name], sizes);
    for (const spec of taken) checkTokens(spec, given[spec.name]);
    checkState(leaves, state, batch);
    const feeds = {};
    [...taken, ...leaves].forEach((spec, i) => {
      const values = i < taken.length ? given[spec.name] : state[i - taken.length];
      feeds[spec.name] = new ort.Tensor(spec.dtype, values, sizesOf(spec, sizes));
    });
    const results = await this.#runtime.run(feeds);
    return {
      outputs: alone(Object.fromEntries(outputs.map(({ name }) => [name, results[name].data]))),
      state: leaves.map((leaf) => results[leaf.output_name].data),
    };
  }

  /** Make zeros for one time step, by name; sizes that are free, and not the batch, are 1. */
  zeros(batch = 1) {
    return zerosOf(this.signature.inputs, batch);
  }

  /** Give the sizes of a call: those that are not time or batch follow from how many values there are. */
  sizes(inputs, steps, batch) {
    return sizesOfCall(this.signature.inputs, inputs, steps, batch);
  }
}

/** A stream of one or more rows: keeps the state between time steps. */
export class Session {
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
   * @param {Float32Array | BigInt64Array | Uint8Array | object} inputs of one time step, [batch, ...], several by name;
   *   what is the same for a whole call goes into every step
   * @returns {Promise<any>} the outputs of that time step, [batch, ...], several by name
   * @throws {Error} if the step before has not ended: await it
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

  /** Begin again, from the initial state or from one that `state` gave. */
  reset(state = this.model.initialState(this.batch)) {
    this.#checkIdle();
    checkState(this.model.signature.state, state, this.batch);
    this.#state = state.map((values) => values.slice());
  }

  /** A copy of the state behind the last time step: an array for each leaf of `model.signature.state`. */
  get state() {
    return this.#state.map((values) => values.slice());
  }

  #checkIdle() {
    if (this.#running) throw new Error("expected no step to be running, got one: await it first");
  }
}
