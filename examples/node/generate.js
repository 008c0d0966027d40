/** generate.js NAME PROMPT LENGTH SEED: continue a prompt with a text model, one character at a time. */
import { pipeline } from "node:stream/promises";

import { folderOf, start } from "./app.js";
import { Model, Session, countOf } from "./recurrent.js";

const TEMPERATURE = 0.6; // below 1: safer; above 1: wilder

/**
 * Make a function that draws uniform numbers in [0, 1), the same in every language.
 * Source: Tommy Ettinger's mulberry32, public domain.
 * @param {number} seed
 */
function mulberry32(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Draw a token from the softmax of the logits, by where `uniform` falls in its sum.
 * @param {Float32Array} logits
 * @param {number} uniform
 */
function choose(logits, uniform) {
  const scaled = Array.from(logits, (logit) => logit / TEMPERATURE);
  const largest = Math.max(...scaled);
  let sum = 0;
  const cumulative = scaled.map((value) => (sum += Math.exp(value - largest)));
  return cumulative.findIndex((below) => below > uniform * sum);
}

/**
 * @param {string} prompt
 * @param {string[]} vocabulary
 * @returns {number[]}
 */
function tokensOf(prompt, vocabulary) {
  const unknown = Array.from(prompt).filter((character) => !vocabulary.includes(character));
  if (unknown.length || !prompt) {
    const got = unknown.length ? JSON.stringify([...new Set(unknown)].join("")) : "an empty prompt";
    throw new Error(`expected one or more of ${JSON.stringify(vocabulary.join(""))}, got ${got}`);
  }
  return Array.from(prompt, (character) => vocabulary.indexOf(character));
}

/**
 * @param {string} what
 * @param {string} text
 * @param {RegExp} form
 */
function integer(what, text, form) {
  if (form.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new Error(`${what}: expected an integer, got ${text}`);
}

/**
 * Draw tokens, each from the one before and the state.
 * @param {Model} model
 * @param {number[]} prompt
 * @param {number} length
 * @param {number} seed
 */
async function* continuation(model, prompt, length, seed) {
  const uniform = mulberry32(seed);
  const session = new Session(model);
  const read = await model.run(BigInt64Array.from(prompt, BigInt), prompt.length, 1);
  session.reset(read.state);
  /** @type {Float32Array} */
  let logits = read.outputs.subarray(-countOf(model.signature.outputs[0], { time: 1, batch: 1 })); // of the last character
  for (let i = 0; i < length; i++) {
    const token = choose(logits, uniform());
    yield token;
    logits = await session.step(BigInt64Array.of(BigInt(token)));
  }
}

/**
 * @param {string} name
 * @param {string} prompt
 * @param {string} length
 * @param {string} seed
 */
async function generate(name, prompt, length, seed) {
  const [count, number] = [integer("LENGTH", length, /^\d+$/), integer("SEED", seed, /^-?\d+$/)];
  const model = await Model.load(folderOf(name));
  const { vocabulary } = model;
  if (!vocabulary) throw new Error(`expected a model with a vocabulary, got ${name}: name a text model`);
  const tokens = tokensOf(prompt, vocabulary);
  await pipeline(async function* () {
    yield prompt;
    for await (const token of continuation(model, tokens, count, number)) yield vocabulary[token];
    yield "\n";
  }, process.stdout);
}

await start("node generate.js NAME PROMPT LENGTH SEED", (count) => count === 4, generate);
