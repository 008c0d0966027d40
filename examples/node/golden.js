/** golden.js FOLDER...: run a bundle's golden vectors, whole and step by step, and compare with eager PyTorch. */
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { performance } from "node:perf_hooks";

import { start } from "./app.js";
import { Model, Session, alone, byName, countOf } from "./recurrent.js";
import { placeSteps, takeSteps } from "./slices.js";

/** @typedef {import("./recurrent.js").State} State */
/** @typedef {import("./recurrent.js").Named} Named */
/** @typedef {{dtype: "float32" | "float64" | "int64" | "bool", shape: number[], offset: number, every?: number}} Entry
 * in tensors.bin, which holds each first, second, third, ... number of it */
/** @typedef {Record<string, Entry>} Entries */
/**
 * @typedef {object} Vector a case of golden/index.json
 * @property {string} name
 * @property {"run" | "step"} kind
 * @property {number} time
 * @property {number} batch
 * @property {Entries} call
 * @property {Entries} float32
 * @property {Entries} float64
 * @property {Entries} [undecided] where rounding may turn a whole number or a truth value into another one
 * @property {Record<string, number>} tolerance
 */

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, bool: Uint8Array };
const UNSET = { float32: NaN, int64: -(2n ** 63n), bool: 255 }; // what is left out is found
const ROUNDS = 11;
const STEPS = 1000; // of a round that is timed, fewer where they take long
const ROUND_MILLISECONDS = 100;

/** The check of a bundle, and what is known so far. */
class Check {
  vectors = { whole: 0, streamed: 0 };
  worst = 0;
  share = 0;
  /** The first number that is off. */
  failure = "";

  /**
   * @param {string} name
   * @param {Model} model
   * @param {Buffer} tensors
   */
  constructor(name, model, tensors) {
    this.name = name;
    this.model = model;
    this.tensors = tensors;
  }

  /** @param {Vector} vector */
  async whole(vector) {
    const { inputs, state } = this.#call(vector);
    const result = await this.model.run(alone(inputs), vector.time, vector.batch, state);
    this.#compareAll(vector, "whole", byName(this.model.signature.outputs, result.outputs), result.state);
  }

  /** @param {Vector} vector */
  async streamed(vector) {
    const { time, batch } = vector;
    const { inputs, state } = this.#call(vector);
    const { inputs: taken, outputs: given } = this.model.signature;
    const sizes = this.model.sizes(inputs, time, batch);
    const session = new Session(this.model, batch);
    session.reset(state);
    /** @type {Named} */
    const outputs = {};
    for (const { name, dtype } of given) outputs[name] = /** @type {any} */ (this.read(vector.float32[name])).fill(UNSET[dtype]);
    for (let t = 0; t < time; t++) {
      const cut = taken.map((spec) => [spec.name, takeSteps(spec, inputs[spec.name], sizes, t, 1)]);
      const step = byName(given, await session.step(alone(Object.fromEntries(cut))));
      for (const spec of given) placeSteps(spec, step[spec.name], outputs[spec.name], sizes, t);
    }
    this.#compareAll(vector, "streamed", outputs, session.state);
  }

  /** @param {Entry} entry */
  read({ dtype, shape, offset, every = 1 }) {
    const count = shape.reduce((all, size) => all * size, 1);
    const stored = Math.ceil(count / every);
    const bytes = Uint8Array.from(this.tensors.subarray(offset, offset + stored * ARRAYS[dtype].BYTES_PER_ELEMENT));
    const numbers = new ARRAYS[dtype](bytes.buffer, 0, stored); // of a copy: an offset need not be aligned
    if (every === 1) return numbers;
    const all = new ARRAYS[dtype](count);
    for (let i = 0; i < stored; i++) all[i * every] = numbers[i];
    return all;
  }

  /** @param {Vector} vector */
  #call({ call }) {
    const { inputs, state } = this.model.signature;
    const named = inputs.map(({ name }) => [name, this.read(call[name])]);
    const leaves = state.map(({ name }) => this.read(call[name]));
    return /** @type {{inputs: Named, state: State}} */ ({ inputs: Object.fromEntries(named), state: leaves });
  }

  /**
   * @param {Vector} vector
   * @param {"whole" | "streamed"} how
   * @param {Named} outputs
   * @param {State} state
   */
  #compareAll(vector, how, outputs, state) {
    const { outputs: given, state: leaves } = this.model.signature;
    for (const { name } of given) this.#compare(vector, how, name, outputs[name]);
    leaves.forEach((leaf, i) => this.#compare(vector, how, leaf.output_name, state[i]));
    this.vectors[how]++;
  }

  /**
   * @param {Vector} vector
   * @param {string} how
   * @param {string} name
   * @param {import("./recurrent.js").Values} got
   */
  #compare(vector, how, name, got) {
    const expected = this.read(vector.float64[name]);
    const undecided = vector.undecided?.[name] && this.read(vector.undecided[name]);
    const allowed = vector.tolerance[name];
    const where = `${this.name}: ${vector.name} ${how}: ${name}`;
    if (got.length !== expected.length)
      throw new Error(`${where}: expected ${expected.length} numbers, got ${got.length}`);
    for (let i = 0; i < expected.length; i += vector.float64[name].every ?? 1) {
      const [wanted, had] = [Number(expected[i]), Number(got[i])];
      const error = had === wanted || undecided?.[i] ? 0 : Math.abs(had - wanted); // of an infinity as well
      this.worst = Math.max(this.worst, error);
      if (error > 0) this.share = Math.max(this.share, error / allowed);
      if (error <= allowed) continue; // not so for NaN
      this.failure ||=
        `${where}[${i}]: expected ${Number(wanted.toPrecision(9))}, got ${Number(had.toPrecision(9))}, ` +
        `off by ${scientific(error)}, allowed ${scientific(allowed)}`;
    }
  }
}

/**
 * Make a step of one row, all zeros; other sizes that are free are 1.
 * @param {Model} model
 * @returns {Named}
 */
function zeros({ signature }) {
  return Object.fromEntries(
    signature.inputs.map((spec) => {
      const sizes = Object.fromEntries(spec.shape.map((size) => [size, 1]));
      return [spec.name, /** @type {import("./recurrent.js").Values} */ (new ARRAYS[spec.dtype](countOf(spec, sizes)))];
    }),
  );
}

/**
 * Measure a step of one row in microseconds: the median of some rounds, after one to warm up.
 * @param {Model} model
 * @param {import("./recurrent.js").Inputs} inputs
 */
async function timeStep(model, inputs) {
  const session = new Session(model);
  /** @param {number} steps */
  const round = async (steps) => {
    const began = performance.now();
    for (let i = 0; i < steps; i++) await session.step(inputs);
    return (performance.now() - began) / steps;
  };
  const milliseconds = await round(STEPS / 10);
  const steps = Math.max(1, Math.min(STEPS, Math.floor(ROUND_MILLISECONDS / milliseconds)));
  const times = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await round(steps));
  return times.sort((one, other) => one - other)[ROUNDS >> 1] * 1000;
}

/**
 * Write 2.1e-08, as other languages do.
 * @param {number} value
 */
function scientific(value) {
  return value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2");
}

/** @param {string} folder */
async function checkBundle(folder) {
  const name = basename(resolve(folder));
  const model = await Model.load(folder);
  const index = JSON.parse(await readFile(join(folder, "golden", "index.json"), "utf8"));
  const check = new Check(name, model, await readFile(join(folder, "golden", index.tensors)));
  for (const vector of index.cases) {
    await check.whole(vector);
    if (vector.kind === "run") await check.streamed(vector);
  }
  const { whole, streamed } = check.vectors;
  if (!whole) check.failure = `${name}: no golden vectors in ${folder}`;
  if (check.failure) {
    console.error(check.failure);
    process.exitCode = 1;
    return;
  }
  const microseconds = await timeStep(model, alone(zeros(model)));
  console.log(
    `${name}: ${whole} vectors whole, ${streamed} streamed, worst error ${scientific(check.worst)} ` +
      `(${Math.round(100 * check.share)}% of allowed), ${microseconds.toFixed(2)} us per step`,
  );
}

await start(
  "node golden.js FOLDER...",
  (count) => count > 0,
  async (...folders) => {
    for (const folder of folders) await checkBundle(folder);
  },
);
