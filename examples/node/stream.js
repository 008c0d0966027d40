/**
 * stream.js NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.
 *
 * Of several inputs the numbers stand one after another, in the manifest's order; truth values are 0 and 1.
 */
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";

import { folderOf, start } from "./app.js";
import { Model, Session, alone, byName, countOf } from "./recurrent.js";

/** @typedef {import("./recurrent.js").TensorSpec} TensorSpec */

const WORDS = { float32: "numbers", int64: "token ids", bool: "times 0 or 1" };

/**
 * Count the numbers of a tensor in one step of one row; other sizes that are free are 1.
 * @param {TensorSpec} spec
 */
function inOneStep(spec) {
  return countOf(spec, Object.fromEntries(spec.shape.map((size) => [size, 1])));
}

/**
 * @param {string[]} words
 * @param {TensorSpec["dtype"]} dtype
 * @returns {import("./recurrent.js").Values | null} null: something else
 */
function parse(words, dtype) {
  if (dtype === "int64") return words.every((word) => /^-?\d+$/.test(word)) ? BigInt64Array.from(words, BigInt) : null;
  if (dtype === "bool") return words.every((word) => /^[01]$/.test(word)) ? Uint8Array.from(words, Number) : null;
  const numbers = Float32Array.from(words, (word) => (word === "" ? NaN : Number(word)));
  return numbers.every(Number.isFinite) ? numbers : null;
}

/**
 * @param {string} line
 * @param {Model} model
 * @returns {import("./recurrent.js").Named | null} null: something else
 */
function read(line, { signature }) {
  const words = line.trim().split(/\s+/);
  /** @type {import("./recurrent.js").Named} */
  const step = {};
  for (const spec of signature.inputs) {
    const values = parse(words.splice(0, inOneStep(spec)), spec.dtype);
    if (values?.length !== inOneStep(spec)) return null;
    step[spec.name] = values;
  }
  return words.length ? null : step;
}

/** @param {string} name */
async function stream(name) {
  const model = await Model.load(folderOf(name));
  const session = new Session(model);
  const { inputs: taken, outputs: given } = model.signature;
  const expected = taken.map((spec) => `${inOneStep(spec)} ${WORDS[spec.dtype]}`).join(", ");
  await pipeline(async function* () {
    let at = 0;
    for await (const line of createInterface({ input: process.stdin })) {
      at++;
      const inputs = read(line, model);
      if (!inputs) throw new Error(`line ${at}: expected ${expected} with blanks between them, got ${line}`);
      const outputs = byName(given, await session.step(alone(inputs)));
      const numbers = given.flatMap(({ name }) => Array.from(/** @type {any} */ (outputs[name]), Number));
      yield `${numbers.map((value) => Number(value.toPrecision(9))).join(" ")}\n`;
    }
  }, process.stdout);
}

await start("node stream.js NAME < STEPS", (count) => count === 1, stream);
