/** Run a bundle's golden vectors, whole and step by step, and compare them with eager PyTorch's results. */
import { alone, byName, sizesOf, ARRAYS as TAKEN } from "./tensors.js";

const ARRAYS = { ...TAKEN, float64: Float64Array };
const UNSET = { float32: NaN, int64: -(2n ** 63n), bool: 255 }; // what is left out is found
const ROUNDS = 11;
const STEPS = 1000; // of a round that is timed, fewer where they take long
const ROUND_MILLISECONDS = 100;
const [SECONDS, RATE] = [20, 48000]; // of sound

/** Cut a shape at its time axis: how many pieces lie before it, how many numbers behind it. */
function aroundTime(spec, sizes) {
  const [axis, all] = [spec.shape.indexOf("time"), sizesOf(spec, sizes)];
  const product = (some) => some.reduce((whole, size) => whole * size, 1);
  return { outer: product(all.slice(0, axis)), inner: product(all.slice(axis + 1)) };
}

/** Copy one time step out of a row-major array, in pieces where time is not its first axis, or all if it has none. */
function takeStep(spec, values, sizes, step) {
  if (!spec.shape.includes("time")) return values;
  const { outer, inner } = aroundTime(spec, sizes);
  const taken = new values.constructor(outer * inner);
  for (let i = 0; i < outer; i++) {
    const from = (i * sizes.time + step) * inner;
    taken.set(values.subarray(from, from + inner), i * inner);
  }
  return taken;
}

/** Put one time step of a result to its place. What has no time axis is of the last step: it replaces all. */
function placeStep(spec, taken, sizes, step, values) {
  if (!spec.shape.includes("time")) return values.set(taken);
  const { outer, inner } = aroundTime(spec, sizes);
  for (let i = 0; i < outer; i++) {
    values.set(taken.subarray(i * inner, (i + 1) * inner), (i * sizes.time + step) * inner);
  }
}

/** What is known of a bundle while its vectors are run. */
class Check {
  vectors = { whole: 0, streamed: 0 };
  worst = 0;
  share = 0;
  failure = null; // the first number that is off

  constructor(name, model, tensors) {
    this.name = name;
    this.model = model;
    this.tensors = tensors;
  }

  /** Read a tensor, of which tensors.bin holds each first, second, third, ... number. */
  read({ dtype, shape, offset, every = 1 }) {
    const all = new ARRAYS[dtype](shape.reduce((whole, size) => whole * size, 1));
    const end = offset + Math.ceil(all.length / every) * all.BYTES_PER_ELEMENT;
    new ARRAYS[dtype](this.tensors.slice(offset, end)) // a copy: an offset need not be aligned
      .forEach((number, i) => (all[i * every] = number));
    return all;
  }

  async whole(vector) {
    const { inputs, state } = this.#call(vector);
    this.#compareAll(vector, "whole", await this.model.run(alone(inputs), vector.time, vector.batch, state));
  }

  async streamed(vector) {
    const { inputs, state } = this.#call(vector);
    const session = this.model.session(vector.batch);
    session.reset(state);
    const { inputs: taken, outputs: given } = this.model.signature;
    const sizes = this.model.sizes(inputs, vector.time, vector.batch);
    const all = Object.fromEntries(
      given.map(({ name, dtype }) => [name, this.read(vector.float32[name]).fill(UNSET[dtype])]),
    );
    for (let t = 0; t < vector.time; t++) {
      const cut = taken.map((spec) => [spec.name, takeStep(spec, inputs[spec.name], sizes, t)]);
      const outputs = byName(given, await session.step(alone(Object.fromEntries(cut))));
      for (const spec of given) placeStep(spec, outputs[spec.name], sizes, t, all[spec.name]);
    }
    this.#compareAll(vector, "streamed", { outputs: alone(all), state: session.state });
  }

  /** Run it where no state comes back. */
  async elsewhere(vector, run) {
    const { inputs, state } = this.#call(vector);
    const [{ name }] = this.model.signature.outputs;
    this.#compare(vector, "whole", name, await run(this.model, alone(inputs), state));
    this.vectors.whole++;
  }

  #call({ call }) {
    const { inputs, state } = this.model.signature;
    const named = Object.fromEntries(inputs.map(({ name }) => [name, this.read(call[name])]));
    return { inputs: named, state: state.map(({ name }) => this.read(call[name])) };
  }

  #compareAll(vector, how, { outputs, state }) {
    const { outputs: given, state: leaves } = this.model.signature;
    for (const [name, got] of Object.entries(byName(given, outputs))) this.#compare(vector, how, name, got);
    leaves.forEach((leaf, i) => this.#compare(vector, how, leaf.output_name, state[i]));
    this.vectors[how]++;
  }

  #compare(vector, how, name, got) {
    const expected = this.read(vector.float64[name]);
    const undecided = vector.undecided?.[name] && this.read(vector.undecided[name]); // by rounding
    const allowed = vector.tolerance[name];
    if (got.length !== expected.length) {
      throw new Error(`${this.name}: ${vector.name} ${how}: ${name}: ${expected.length} numbers, got ${got.length}`);
    }
    for (let i = 0; i < expected.length; i += vector.float64[name].every ?? 1) {
      const [wanted, had] = [Number(expected[i]), Number(got[i])];
      const error = had === wanted || undecided?.[i] ? 0 : Math.abs(had - wanted); // of an infinity as well
      this.worst = Math.max(this.worst, error);
      if (error > 0) this.share = Math.max(this.share, error / allowed);
      if (error <= allowed) continue; // not so for NaN
      this.failure ??=
        `${this.name}: ${vector.name} ${how}: ${name}[${i}]: expected ${wanted.toPrecision(9)}, ` +
        `got ${had.toPrecision(9)}, off by ${scientific(error)}, allowed ${scientific(allowed)}`;
    }
  }
}

/**
 * Run the golden vectors of one row from begin to end somewhere else, such as in an AudioWorklet.
 * @param {(model: object, inputs: Float32Array, state: Array) => Promise<Float32Array>} run gives the outputs of a sequence
 * @returns {Promise<{passed: boolean, line: string}>} what to print
 */
export async function checkAudio(name, model, read, run) {
  const index = JSON.parse(new TextDecoder().decode(await read("index.json")));
  const check = new Check(name, model, await read(index.tensors));
  for (const vector of index.cases) {
    if (vector.kind === "run" && vector.batch === 1) await check.elsewhere(vector, run);
  }
  if (check.failure || !check.vectors.whole) return { passed: false, line: check.failure ?? `${name}: no golden vectors` };
  const samples = new Float32Array(SECONDS * RATE * model.signature.inputs[0].shape.at(-1)).fill(0.5);
  const start = performance.now();
  await run(model, samples, model.initialState());
  const seconds = ((performance.now() - start) / 1000).toFixed(2);
  const line =
    `${name}: ${check.vectors.whole} vectors, worst error ${scientific(check.worst)} ` +
    `(${Math.round(100 * check.share)}% of allowed), ${SECONDS} s of ${RATE / 1000} kHz in ${seconds} s`;
  return { passed: true, line };
}

/** Measure a step of one row in microseconds: the median of some rounds, after one to warm up. */
export async function timeStep(model, inputs) {
  const session = model.session();
  const round = async (steps) => {
    const start = performance.now();
    for (let i = 0; i < steps; i++) await session.step(inputs);
    return (performance.now() - start) / steps;
  };
  const slow = await round(STEPS / 10);
  const steps = Math.max(1, Math.min(STEPS, Math.floor(ROUND_MILLISECONDS / slow)));
  const times = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await round(steps));
  return times.sort((one, other) => one - other)[ROUNDS >> 1] * 1000;
}

/** Write 2.1e-08, as other languages do. */
export function scientific(number) {
  return number.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2");
}

/**
 * Run all golden vectors of a bundle.
 * @param {string} name what the bundle is called in what is reported
 * @param {object} model of it
 * @param {(file: string) => Promise<ArrayBuffer>} read gives a file of the bundle's folder `golden`
 * @returns {Promise<{passed: boolean, line: string}>} what to print
 */
export async function checkBundle(name, model, read) {
  const index = JSON.parse(new TextDecoder().decode(await read("index.json")));
  const check = new Check(name, model, await read(index.tensors));
  for (const vector of index.cases) {
    await check.whole(vector);
    if (vector.kind === "run") await check.streamed(vector);
  }
  if (!check.vectors.whole) return { passed: false, line: `${name}: no golden vectors` };
  if (check.failure) return { passed: false, line: check.failure };
  const { whole, streamed } = check.vectors;
  const microseconds = (await timeStep(model, alone(model.zeros()))).toFixed(2);
  const line =
    `${name}: ${whole} vectors whole, ${streamed} streamed, worst error ${scientific(check.worst)} ` +
    `(${Math.round(100 * check.share)}% of allowed), ${microseconds} us per step`;
  return { passed: true, line };
}
