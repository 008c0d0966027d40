/** golden.js FOLDER...: run a bundle's golden vectors, whole and step by step, and compare with eager PyTorch. */
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { performance } from "node:perf_hooks";

import { start } from "./app.js";
import { Model, Session } from "./recurrent.js";
import { placeSteps, takeSteps } from "./slices.js";

/** @typedef {import("./recurrent.js").State} State */
/** @typedef {{dtype: "float32" | "float64" | "int64", shape: number[], offset: number}} Entry in tensors.bin */
/** @typedef {Record<string, Entry>} Entries */
/**
 * @typedef {object} Vector a case of golden/index.json
 * @property {string} name
 * @property {"run" | "step"} kind
 * @property {number} time
 * @property {number} batch
 * @property {Entries} call
 * @property {Entries} float64
 * @property {Record<string, number>} tolerance
 */

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array };
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
    const result = await this.model.run(inputs, vector.time, vector.batch, state);
    this.#compareAll(vector, "whole", result.outputs, result.state);
  }

  /** @param {Vector} vector */
  async streamed(vector) {
    const { time, batch } = vector;
    const { inputs, state } = this.#call(vector);
    const { inputs: taken, outputs: given } = this.model.signature;
    const session = new Session(this.model, batch);
    session.reset(state);
    const outputs = new Float32Array(this.read(vector.float64[given.name]).length).fill(NaN); // what is left out is found
    for (let t = 0; t < time; t++) {
      const step = await session.step(takeSteps(taken, inputs, time, batch, t, 1));
      placeSteps(given, step, outputs, time, batch, t);
    }
    this.#compareAll(vector, "streamed", outputs, session.state);
  }

  /** @param {Entry} entry */
  read({ dtype, shape, offset }) {
    const count = shape.reduce((all, size) => all * size, 1);
    const bytes = Uint8Array.from(this.tensors.subarray(offset, offset + count * ARRAYS[dtype].BYTES_PER_ELEMENT));
    return new ARRAYS[dtype](bytes.buffer, 0, count); // of a copy: an offset need not be aligned
  }

  /** @param {Vector} vector */
  #call({ call }) {
    const { inputs, state } = this.model.signature;
    const [first, ...rest] = [inputs, ...state].map(({ name }) => this.read(call[name]));
    return /** @type {{inputs: Float32Array | BigInt64Array, state: State}} */ ({ inputs: first, state: rest });
  }

  /**
   * @param {Vector} vector
   * @param {"whole" | "streamed"} how
   * @param {Float32Array} outputs
   * @param {State} state
   */
  #compareAll(vector, how, outputs, state) {
    const { outputs: given, state: leaves } = this.model.signature;
    this.#compare(vector, how, given.name, outputs);
    leaves.forEach((leaf, i) => this.#compare(vector, how, leaf.output_name, state[i]));
    this.vectors[how]++;
  }

  /**
   * @param {Vector} vector
   * @param {string} how
   * @param {string} name
   * @param {Float32Array | BigInt64Array} got
   */
  #compare(vector, how, name, got) {
    const expected = this.read(vector.float64[name]);
    const allowed = vector.tolerance[name];
    const where = `${this.name}: ${vector.name} ${how}: ${name}`;
    if (got.length !== expected.length)
      throw new Error(`${where}: expected ${expected.length} numbers, got ${got.length}`);
    for (let i = 0; i < expected.length; i++) {
      const [wanted, had] = [Number(expected[i]), Number(got[i])];
      const error = Math.abs(had - wanted);
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
 * Measure a step of one row in microseconds: the median of some rounds, after one to warm up.
 * @param {Model} model
 * @param {Float32Array | BigInt64Array} inputs
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
  const zeros = model.signature.inputs.dtype === "int64" ? BigInt64Array : Float32Array;
  const microseconds = await timeStep(model, new zeros(model.inputSize));
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
