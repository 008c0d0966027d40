/**
 * A bundle's model in a browser: Model runs whole sequences, Session streams them one time step at a time.
 *
 * ONNX Runtime Web is seen here alone. Values are row-major typed arrays: Float32Array, or BigInt64Array where
 * the manifest says int64 (token ids, as a rule). A state is an array of them, a leaf each, in the manifest's order.
 */
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would need the server to send COOP and COEP headers
ort.env.logLevel = "error";

const FORMAT_VERSION = 2; // of manifest.json
const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`expected ${url}, got HTTP ${response.status}: is this the folder of a bundle?`);
  return response;
}

/** Give the sizes of a tensor of the manifest, for some time steps and rows. */
function sizesOf(spec, steps, batch) {
  return spec.shape.map((size) => (size === "time" ? steps : size === "batch" ? batch : size));
}

const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

function checkCount(what, count) {
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`expected 1 or more ${what}, got ${count}`);
}

function checkValues(spec, values, sizes) {
  const expected = ARRAYS[spec.dtype];
  if (!(values instanceof expected)) {
    throw new TypeError(`${spec.name}: expected a ${expected.name}, got ${values?.constructor?.name}`);
  }
  if (values.length !== product(sizes)) {
    throw new RangeError(`${spec.name}: expected ${product(sizes)} values [${sizes}], got ${values.length}`);
  }
}

/** Refuse token ids that are not in the vocabulary: ONNX Runtime may give something for them. */
function checkTokens({ name, vocabulary }, values) {
  if (vocabulary === undefined) return;
  const at = values.findIndex((id) => id < 0 || id >= vocabulary);
  if (at < 0) return;
  throw new RangeError(`${name}[${at}]: expected a token id from 0 to ${vocabulary - 1}, got ${values[at]}`);
}

function checkManifest(url, { format, format_version: version, signature }) {
  if (format !== "rnn_export.bundle") throw new Error(`${url}: expected an rnn_export.bundle, got ${format}`);
  if (version !== FORMAT_VERSION) {
    const expected = `expected manifest format ${FORMAT_VERSION}, got ${version}`;
    throw new Error(`${url}: ${expected}: export and scaffold with one rnn-export`);
  }
  const { inputs, state, outputs } = signature;
  if (inputs.length !== 1 || outputs.length !== 1) {
    const expected = `expected one tensor of inputs and one of outputs, got ${inputs.length} and ${outputs.length}`;
    throw new Error(`${url}: ${expected}: call its files as report.html shows`);
  }
  if (!signature.streamable || signature.lengths) {
    throw new Error(`${url}: expected a streamable model without lengths: export it so`);
  }
  for (const { name, dtype } of [...inputs, ...state, ...outputs]) {
    if (!ARRAYS[dtype]) throw new Error(`${url}: ${name}: expected float32 or int64, got ${dtype}`);
  }
}

function signatureOf({ signature: { inputs, state, outputs } }) {
  return { inputs: inputs[0], state, outputs: outputs[0] };
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
  const sizes = sizesOf(spec, 1, batch);
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
    this.signature = signatureOf(manifest);
    this.#runtime = runtime;
  }

  /**
   * Load manifest.json and model.onnx from the folder of a bundle.
   * @param {string | URL} url ends with a slash
   * @returns {Promise<Model>}
   * @throws {Error} if there is no bundle, or one that cannot be streamed, or that takes or gives several tensors
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

  /** How many numbers, or token ids, a row takes at each time step. */
  get inputSize() {
    return product(sizesOf(this.signature.inputs, 1, 1));
  }

  /** Give the state that a model begins with. */
  initialState(batch = 1) {
    checkCount("rows", batch);
    return this.signature.state.map((leaf) => initialValue(leaf, batch));
  }

  /**
   * Run whole sequences.
   * @param {Float32Array | BigInt64Array} inputs of the shape in `signature.inputs`, as a rule [steps, batch, ...]
   * @param {number} steps
   * @param {number} batch
   * @param {Array} [state] of the shapes in `signature.state`; without it, the initial state
   * @returns {Promise<{outputs: Float32Array, state: Array}>} the outputs, of the shape in `signature.outputs`
   *   (without "time" there: of the last time step), and the state behind the last time step
   * @throws {TypeError | RangeError} if an array is not of the type or the size that the model takes, or there is no
   *   such token id
   */
  async run(inputs, steps, batch, state = this.initialState(batch)) {
    checkCount("time steps", steps);
    checkCount("rows", batch);
    const { inputs: taken, state: leaves, outputs } = this.signature;
    if (state.length !== leaves.length) {
      throw new RangeError(`state: expected ${leaves.length} leaves, got ${state.length}`);
    }
    const feeds = {};
    [taken, ...leaves].forEach((spec, i) => {
      const sizes = sizesOf(spec, steps, batch);
      const values = i === 0 ? inputs : state[i - 1];
      checkValues(spec, values, sizes);
      feeds[spec.name] = new ort.Tensor(spec.dtype, values, sizes);
    });
    checkTokens(taken, inputs);
    const results = await this.#runtime.run(feeds);
    return {
      outputs: results[outputs.name].data,
      state: leaves.map((leaf) => results[leaf.output_name].data),
    };
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
   * @param {Float32Array | BigInt64Array} inputs of one time step, [batch, ...]
   * @returns {Promise<Float32Array>} the outputs of that time step, [batch, ...]
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
    const { state: leaves } = this.model.signature;
    if (state.length !== leaves.length) {
      throw new RangeError(`state: expected ${leaves.length} leaves, got ${state.length}`);
    }
    leaves.forEach((leaf, i) => checkValues(leaf, state[i], sizesOf(leaf, 1, this.batch)));
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
