/**
 * A model.c as WebAssembly, in a browser, a worker, an AudioWorklet or Node.
 *
 *     const net = await load("model.wasm");
 *     const y = net.step(x); // one time step; the state is kept
 *
 * `rnn-export compile DIR --wasm` and compile.mjs write such files: they import nothing, and say in a section of their
 * own what a call looks like. Values are row-major typed arrays: Float32Array, BigInt64Array where the signature says
 * int64 (token ids, as a rule), Uint8Array of 0 and 1 where it says bool. A model of one tensor of inputs takes such an
 * array, one of several an object of them by name; outputs alike. A state is a list of arrays, one for each leaf.
 */
import { ARRAYS, alone, byName, checkCount, checkSignature, checkState, checkTokens, checkValues } from "./tensors.js";
import { countOf, sizesOfCall, zerosOf } from "./tensors.js";

const SECTION = "rnn_export";
const FORMAT_VERSION = 1; // of that section
const IN_C = { ...ARRAYS, bool: Int32Array }; // where true is -1
const ALIGNMENT = 16;
const PAGE = 65536; // bytes, in which a memory grows

/**
 * Load a model, and begin a stream of one or more rows.
 * @param {string | URL | BufferSource} source where the file is (in Node, a path), or what is in it
 * @param {number} [batch] how many rows are streamed side by side
 * @returns {Promise<Session>}
 */
export async function load(source, batch = 1) {
  return (await Model.load(source)).session(batch);
}

/** A model, ready to run. Any number of sessions share it and its memory. */
export class Model {
  #exports;
  #name;
  #workspaces;
  #room = null; // where the arrays of the last call lie, and the session whose state is among them

  /**
   * @param {WebAssembly.Module} module
   * @param {WebAssembly.Instance} [instance] of it; on the thread of a page, browsers want that of a large module to be
   *   made by `WebAssembly.instantiate`, as `Model.load` does
   */
  constructor(module, instance = new WebAssembly.Instance(module)) {
    const { format, format_version: version, model, signature, workspaces, metadata } = described(module);
    if (version !== FORMAT_VERSION) throw new Error(`expected ${format} of format ${FORMAT_VERSION}, got ${version}`);
    checkSignature(model, signature);
    /** The module, which `postMessage` takes, as the options of an AudioWorkletNode do. */
    this.module = module;
    /** The names, dtypes and shapes of the inputs, the leaves of the state, and the outputs. */
    this.signature = signature;
    /** The character of each token id, or null: not a text model. */
    this.vocabulary = metadata.vocabulary ? Array.from(metadata.vocabulary) : null;
    this.#exports = instance.exports;
    this.#name = model;
    this.#workspaces = workspaces;
  }

  /**
   * @param {string | URL | BufferSource} source
   * @returns {Promise<Model>}
   * @throws {Error} if there is no such file, or it is none of a streamable model
   */
  static async load(source) {
    const module = await WebAssembly.compile(await bytesOf(source));
    return new Model(module, await WebAssembly.instantiate(module));
  }

  /** Begin a stream of one or more rows. */
  session(batch = 1) {
    return new Session(this, batch);
  }

  /** Give the state that a model begins with. */
  initialState(batch = 1) {
    checkCount("rows", batch);
    const room = this.enter(null, { time: 0, batch });
    this.#exports[`${this.#name}_initial_state`](batch, room.at.state);
    return apart(this.signature.state, room.bytes, { batch });
  }

  /**
   * Run whole sequences.
   * @param {Float32Array | BigInt64Array | Uint8Array | object} inputs of the shapes in `signature.inputs`, as a rule
   *   [steps, batch, ...]; several by name
   * @param {number} steps
   * @param {number} batch
   * @param {Array} [state] of the shapes in `signature.state`; without it, the initial state
   * @returns {{outputs: any, state: Array}} the outputs, of the shapes in `signature.outputs`, several by name (without
   *   "time" there: of the last time step), and the state behind the last time step
   * @throws {TypeError | RangeError} if an array is missing or is not of the type or the size that the model takes, or
   *   there is no such token id
   */
  run(inputs, steps, batch, state = this.initialState(batch)) {
    const once = new Session(this, batch, state);
    const outputs = byName(this.signature.outputs, once.step(inputs, steps));
    const copies = Object.entries(outputs).map(([name, values]) => [name, values.slice()]);
    return { outputs: alone(Object.fromEntries(copies)), state: once.state };
  }

  /** Make zeros for one time step, by name; sizes that are free, and not the batch, are 1. */
  zeros(batch = 1) {
    return zerosOf(this.signature.inputs, batch);
  }

  /** Give the sizes of a call: those that are not time or batch follow from how many values there are. */
  sizes(inputs, steps, batch) {
    return sizesOfCall(this.signature.inputs, inputs, steps, batch);
  }

  /** Give the arrays of a session's calls, in this model's memory; for the session alone. */
  enter(session, sizes) {
    this.#room?.session?.leave(this.#room.bytes.slice());
    this.#room = new Room(this.#exports, this.#name, this.signature, this.#workspaces, session, sizes);
    return this.#room;
  }
}

/** The arrays of a call in a model's memory, one behind the other. */
class Room {
  #sizes;
  #free;
  #run;
  #arguments;
  #inputs;
  #outputs;

  constructor(exports, name, { inputs, state, outputs }, workspaces, session, sizes) {
    this.session = session;
    this.#sizes = sizes;
    this.#free = Object.keys(sizes).length > 2;
    let end = exports.__heap_base.value;
    const place = (count) => {
      const start = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      end = start + count;
      return start;
    };
    const bytes = (spec) => countOf(spec, sizes) * IN_C[spec.dtype].BYTES_PER_ELEMENT;
    const all = (specs) => specs.map((spec) => [spec, place(bytes(spec))]);
    const words = state.reduce((sum, leaf) => sum + bytes(leaf), 0);
    const timed = sizes.time ? [all(inputs), all(outputs)] : [[], []]; // else there is no call but for the state
    const held = place(words);
    const floats = Object.entries(workspaces).reduce((sum, [size, count]) => sum + count * (size === "batch" ? 1 : (sizes[size] ?? 0)), 0);
    const workspace = place(4 * floats * sizes.batch);
    const missing = end - exports.memory.buffer.byteLength;
    if (missing > 0) exports.memory.grow(Math.ceil(missing / PAGE));
    const view = ([spec, start]) => new IN_C[spec.dtype](exports.memory.buffer, start, countOf(spec, sizes));
    this.at = { state: held };
    this.bytes = new Uint8Array(exports.memory.buffer, held, words);
    this.#inputs = timed[0].map((placed) => ({ spec: placed[0], view: view(placed) }));
    this.#outputs = timed[1].map((placed) => ({ spec: placed[0], view: view(placed) }));
    const starts = (placed) => placed.map(([, start]) => start);
    const addresses = [...starts(timed[0]), held, ...starts(timed[1]), held];
    if (Object.keys(workspaces).length) addresses.push(workspace);
    this.#arguments = [...Object.values(sizes), ...addresses]; // time, batch, and free sizes in the order of the inputs
    this.#run = exports[`${name}_run`];
  }

  /** Whether it is for calls of so many time steps; those of contexts of any size are told by their inputs. */
  fits(steps) {
    return this.#sizes.time === steps && !this.#free;
  }

  /** Check inputs, then put them here: what is refused changes nothing. */
  put(given) {
    for (const { spec, view } of this.#inputs) {
      const values = given[spec.name];
      if (values?.constructor !== view.constructor || values.length !== view.length) checkValues(spec, values, this.#sizes);
      checkTokens(spec, values);
    }
    for (const { spec, view } of this.#inputs) {
      if (spec.dtype === "bool") given[spec.name].forEach((truth, i) => (view[i] = -truth));
      else view.set(given[spec.name]);
    }
  }

  run() {
    this.#run(...this.#arguments);
  }

  get outputs() {
    if (this.#outputs.length === 1) return this.#given(this.#outputs[0]);
    return Object.fromEntries(this.#outputs.map((output) => [output.spec.name, this.#given(output)]));
  }

  #given({ spec, view }) {
    return spec.dtype === "bool" ? Uint8Array.from(view, Boolean) : view;
  }
}

/** A stream of one or more rows: keeps the state between time steps. */
export class Session {
  #room = null; // where the state lies in the model's memory, or
  #away = null; // its bytes, while others use the memory

  /**
   * @param {Model} model
   * @param {number} [batch] how many rows are streamed side by side
   * @param {Array} [state] that the stream begins with
   */
  constructor(model, batch = 1, state = model.initialState(batch)) {
    this.model = model;
    this.batch = batch;
    this.reset(state);
  }

  /**
   * Run one time step, or several.
   * @param {Float32Array | BigInt64Array | Uint8Array | object} inputs of one time step, [batch, ...], several by name;
   *   what is the same for a whole call goes into every step
   * @param {number} [steps] how many time steps the inputs are of
   * @returns {any} the outputs, [batch, ...], several by name: arrays in the model's memory, which the next call of any of
   *   its sessions writes to. Keep a copy: `.slice()`
   * @throws {TypeError | RangeError} as `Model.run` does; the state then is as before
   */
  step(inputs, steps = 1) {
    checkCount("time steps", steps);
    const given = byName(this.model.signature.inputs, inputs);
    const room = this.#room?.fits(steps) ? this.#room : this.#enter(given, steps);
    room.put(given);
    room.run();
    return room.outputs;
  }

  /** Move into the model's memory, with arrays for so many time steps. */
  #enter(given, steps) {
    const room = this.model.enter(this, this.model.sizes(given, steps, this.batch));
    room.bytes.set(this.#away);
    this.#room = room;
    return room;
  }

  /** Begin again, from the initial state or from one that `state` gave. */
  reset(state = this.model.initialState(this.batch)) {
    const leaves = this.model.signature.state;
    checkState(leaves, state, this.batch);
    this.#away = together(leaves, state);
    this.#room?.bytes.set(this.#away);
  }

  /** A copy of the state behind the last time step: an array for each leaf of `model.signature.state`. */
  get state() {
    const bytes = this.#room ? this.#room.bytes : this.#away;
    return apart(this.model.signature.state, bytes, { batch: this.batch });
  }

  /** Take the state out of the memory; the model says so. */
  leave(bytes) {
    [this.#room, this.#away] = [null, bytes];
  }
}

/** Read what a module says of itself, in ASCII: an AudioWorklet has no TextDecoder. */
function described(module) {
  const [section] = WebAssembly.Module.customSections(module, SECTION);
  if (!section) throw new Error(`expected WebAssembly by rnn-export, got some without a section "${SECTION}"`);
  let text = "";
  for (const byte of new Uint8Array(section)) text += String.fromCharCode(byte);
  return JSON.parse(text);
}

async function bytesOf(source) {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  if (globalThis.process?.versions?.node) {
    const { readFile } = await import("node:fs/promises");
    return readFile(source);
  }
  const response = await fetch(source);
  if (!response.ok) throw new Error(`expected ${source}, got HTTP ${response.status}: is there a model?`);
  return response.arrayBuffer();
}

/** Put the leaves of a state one after another, as C has them. */
function together(leaves, state) {
  const parts = leaves.map(({ dtype }, i) => (dtype === "bool" ? Int32Array.from(state[i], (truth) => -truth) : state[i]));
  const bytes = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const { buffer, byteOffset, byteLength } of parts) {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return bytes;
}

/** Take them apart again, as copies: one of int64 need not lie at a multiple of eight bytes. */
function apart(leaves, bytes, sizes) {
  let at = 0;
  return leaves.map((leaf) => {
    const kind = IN_C[leaf.dtype];
    const size = countOf(leaf, sizes) * kind.BYTES_PER_ELEMENT;
    const values = new kind(bytes.slice(at, (at += size)).buffer);
    return leaf.dtype === "bool" ? Uint8Array.from(values, Boolean) : values;
  });
}
