import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { folderOf } from "./app.js";
import { Model, Session, alone, countOf } from "./recurrent.js";
import { placeSteps, takeSteps } from "./slices.js";

const NAME = readdirSync(folderOf("."))[0];
const model = await Model.load(folderOf(NAME));
const { inputs: taken, state: leaves } = model.signature;
const first = taken[0].name;
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };

/** @param {import("./recurrent.js").TensorSpec[]} specs @param {number} steps @param {number} batch */
const zerosOf = (specs, steps, batch) =>
  Object.fromEntries(
    specs.map((spec) => {
      const sizes = { ...Object.fromEntries(spec.shape.map((size) => [size, 1])), time: steps, batch };
      return [spec.name, new ARRAYS[spec.dtype](countOf(spec, sizes))];
    }),
  );

/** @param {number} steps @param {number} batch */
const zeros = (steps, batch) => alone(zerosOf(taken, steps, batch));

/**
 * @param {string[]} given
 * @param {string} [input]
 * @returns {Promise<{code: unknown, stdout: string, stderr: string}>}
 */
function run(given, input = "") {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, given, { cwd: folderOf("..") }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

test("what is no bundle is told", async () => {
  await assert.rejects(
    Model.load("no/such"),
    /no\/such.manifest\.json: expected a bundle's manifest, got ENOENT.*: name/,
  );
});

test("a manifest that this program cannot run is told", async () => {
  const folder = await mkdtemp(join(tmpdir(), "recurrent-"));
  const { signature } = model.manifest;
  const told = /** @type {[object, RegExp][]} */ ([
    [{ format: "zip" }, /expected an rnn_export.bundle, got zip/],
    [{ format_version: 1 }, /expected manifest format 2, got 1: export and scaffold/],
    [{ signature: { ...signature, outputs: [{ ...taken[0], dtype: "float64" }] } }, /float32, int64 or bool, got float64/],
    [{ signature: { ...signature, lengths: true } }, /expected a streamable model without lengths, got another/],
  ]);
  for (const [change, words] of told) {
    await writeFile(join(folder, "manifest.json"), JSON.stringify({ ...model.manifest, ...change }));
    await assert.rejects(Model.load(folder), words);
  }
  await rm(folder, { recursive: true });
});

test("inputs of another size or type are told", async () => {
  const wrong = (/** @type {any} */ values) => alone({ ...zerosOf(taken, 1, 1), [first]: values });
  await assert.rejects(model.run(zeros(2, 1), 3, 1), new RegExp(`${first}: expected \\d+ values, \\[.*\\], got \\d+`));
  for (const [values, got] of [
    [new Int8Array(1), "Int8Array"],
    [undefined, "undefined"],
  ]) {
    await assert.rejects(model.run(wrong(values), 1, 1), new RegExp(`${first}: expected a .*, got ${got}`));
  }
  for (const count of [0, -1, 1.5, NaN]) {
    await assert.rejects(model.run(zeros(1, 1), count, 1), /expected 1 or more time steps, got/);
    await assert.rejects(model.run(zeros(1, 1), 1, count), /expected 1 or more rows, got/);
  }
});

test("a state of another size or type is told", async () => {
  await assert.rejects(model.run(zeros(1, 1), 1, 1, []), new RegExp(`state: expected ${leaves.length} leaves, got 0`));
  await assert.rejects(
    model.run(zeros(1, 2), 1, 2, model.initialState(1)),
    /: expected \d+ values, .*, got \d+/,
  );
  const session = new Session(model);
  assert.throws(() => session.reset(model.initialState(2)), /: expected \d+ values/);
});

/** @param {object[]} inputs */
const never = (inputs) => {
  const none = { run: () => assert.fail("expected no call of the runtime, got one") };
  const signature = { ...model.manifest.signature, inputs };
  return new Model(/** @type {any} */ ({ signature, metadata: {} }), /** @type {any} */ (none));
};

test("several inputs go by name, and a truth value is 0 or 1", async () => {
  const of = never([
    { name: "x", dtype: "float32", shape: ["time", "batch", 2] },
    { name: "alarm", dtype: "bool", shape: ["time", "batch"] },
    { name: "memory", dtype: "float32", shape: ["batch", "places", 3] },
  ]);
  const [x, alarm, memory] = [new Float32Array(6), Uint8Array.of(0, 1, 2), new Float32Array(12)];
  await assert.rejects(of.run({ x, alarm }, 3, 1), /expected an object of arrays called x, alarm, memory, got x, alarm/);
  await assert.rejects(of.run(x, 3, 1), /called x, alarm, memory, got Float32Array/);
  await assert.rejects(of.run({ x, alarm, memory }, 3, 1), /alarm\[2\]: expected 0 or 1, got 2/);
  assert.deepEqual(of.sizes({ x, alarm: new Uint8Array(3), memory }, 3, 1), { time: 3, batch: 1, places: 4 });
  assert.throws(() => of.sizes({ x, alarm: new Uint8Array(3), memory: new Float32Array(4) }, 3, 1), /memory: expected 3/);
});

test("a token id that there is not is told", async () => {
  const inputs = { name: "inputs", dtype: "int64", shape: ["time", "batch"] };
  const of = never([{ ...inputs, vocabulary: 3 }]);
  for (const id of [-1n, 3n, -(2n ** 63n), 2n ** 63n - 1n]) {
    const told = { name: "RangeError", message: `inputs[1]: expected a token id from 0 to 2, got ${id}` };
    await assert.rejects(of.run(BigInt64Array.of(2n, id), 2, 1), told);
    await assert.rejects(new Session(of, 2).step(BigInt64Array.of(2n, id)), told);
  }
});

test("the first state is broadcast to every row", () => {
  /** @param {any} initial @param {string} dtype */
  const first = (initial, dtype) => {
    const leaf = { name: "state_0", dtype, shape: [2, "batch", 3], initial, output_name: "state_0_out" };
    const manifest = { signature: { ...model.manifest.signature, state: [leaf] }, metadata: {} };
    return [...new Model(/** @type {any} */ (manifest), /** @type {any} */ (null)).initialState(2)[0]];
  };
  assert.deepEqual(first(7, "float32"), Array(12).fill(7));
  assert.deepEqual(first(true, "bool"), Array(12).fill(1));
  assert.deepEqual(first([1, 2, 3], "float32"), [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
  assert.deepEqual(first([[1], [2]], "int64"), [1n, 1n, 1n, 1n, 1n, 1n, 2n, 2n, 2n, 2n, 2n, 2n]);
});

test("a step that fails leaves the state", async () => {
  const session = new Session(model);
  await session.step(zeros(1, 1));
  const before = session.state;
  await assert.rejects(session.step(zeros(2, 1)), RangeError);
  assert.deepEqual(session.state, before);
  await session.step(zeros(1, 1));
});

test("a second step has to await the first", async () => {
  const session = new Session(model);
  const first = session.step(zeros(1, 1));
  await assert.rejects(session.step(zeros(1, 1)), /expected the step before to have ended.*await each/);
  assert.throws(() => session.reset(), /await each/);
  await first;
  session.reset();
  assert.deepEqual(session.state, model.initialState());
});

test("nobody outside changes a session's state", async () => {
  const session = new Session(model, 2);
  await session.step(zeros(1, 2));
  const state = session.state;
  session.reset(state);
  state.forEach((values) => /** @type {any} */ (values).fill(values instanceof BigInt64Array ? 99n : 99));
  assert.notDeepEqual(session.state, state);
});

test("time steps are cut out and put back wherever time is", () => {
  const values = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => i);
  const sizes = { time: 3, batch: 2 };
  for (const shape of [
    ["time", "batch", 4],
    ["batch", "time", 4],
    [4, "batch", "time"],
  ]) {
    const spec = { shape: /** @type {import("./recurrent.js").Size[]} */ (shape) };
    const copy = new Float32Array(values.length);
    placeSteps(spec, takeSteps(spec, values, sizes, 0, 2), copy, sizes, 0);
    placeSteps(spec, takeSteps(spec, values, sizes, 2, 1), copy, sizes, 2);
    assert.deepEqual(copy, values);
  }
  const rows = takeSteps({ shape: ["batch", "time", 4] }, values, sizes, 1, 1);
  assert.deepEqual(Array.from(rows), [4, 5, 6, 7, 16, 17, 18, 19]);
  assert.equal(takeSteps({ shape: ["batch", 12] }, values, sizes, 1, 1), values); // the same for all steps
});

test("the programs tell errors and usage by their exit status", async () => {
  const step = Object.values(zerosOf(taken, 1, 1)).reduce((all, values) => all + values.length, 0);
  const good = Array(step).fill("0").join(" ");
  assert.equal((await run(["stream.js"])).code, 2);
  assert.equal((await run(["golden.js"])).code, 2);
  const bad = await run(["stream.js", NAME], `${good}\n${good} x\n`);
  assert.deepEqual([bad.code, bad.stdout.split("\n").length], [1, 2]);
  assert.match(bad.stderr, /^error: line 2: expected \d+ .* with blanks between them, got /);
  assert.match((await run(["stream.js", "no-such"])).stderr, /^error: .*expected a bundle's manifest/);
});
