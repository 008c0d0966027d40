/** stream.js NAME: read one time step a line, numbers with blanks between them, and write the outputs of each. */
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";

import { folderOf, start } from "./app.js";
import { Model, Session } from "./recurrent.js";

/**
 * @param {string} line
 * @param {Model} model
 * @returns {Float32Array | BigInt64Array | null} null: something else
 */
function parse(line, model) {
  const words = line.trim().split(/\s+/);
  if (words.length !== model.inputSize) return null;
  if (model.signature.inputs.dtype === "int64") {
    return words.every((word) => /^-?\d+$/.test(word)) ? BigInt64Array.from(words, BigInt) : null;
  }
  const numbers = Float32Array.from(words, (word) => (word === "" ? NaN : Number(word)));
  return numbers.every(Number.isFinite) ? numbers : null;
}

/** @param {string} name */
async function stream(name) {
  const model = await Model.load(folderOf(name));
  const session = new Session(model);
  const expected = `${model.inputSize} ${model.signature.inputs.dtype === "int64" ? "token ids" : "numbers"}`;
  await pipeline(async function* () {
    let at = 0;
    for await (const line of createInterface({ input: process.stdin })) {
      at++;
      const inputs = parse(line, model);
      if (!inputs) throw new Error(`line ${at}: expected ${expected} with blanks between them, got ${line}`);
      yield `${Array.from(await session.step(inputs), (value) => Number(value.toPrecision(9))).join(" ")}\n`;
    }
  }, process.stdout);
}

await start("node stream.js NAME < STEPS", (count) => count === 1, stream);
