/** Continue a text in Node: node generate.mjs FILE.wasm PROMPT LENGTH SEED */
import { choose, mulberry32, tokensOf } from "../generate.js";
import { load } from "../recurrent.js";

const TEMPERATURE = 0.6; // below 1: safer; above 1: wilder

async function generate(file, prompt, length, seed) {
  const net = await load(file);
  const { vocabulary } = net.model;
  if (!vocabulary) throw new Error(`expected a model with a vocabulary, got ${file}: name a text model`);
  const tokens = BigInt64Array.from(tokensOf(prompt, vocabulary), BigInt);
  const uniform = mulberry32(seed);
  let logits = net.step(tokens, tokens.length).slice(-vocabulary.length); // of the last character
  process.stdout.write(prompt);
  for (let i = 0; i < length; i++) {
    const token = choose(logits, TEMPERATURE, uniform());
    process.stdout.write(vocabulary[token]);
    logits = net.step(BigInt64Array.of(BigInt(token)));
  }
  process.stdout.write("\n");
}

const [file, prompt, length, seed] = process.argv.slice(2);
if (seed === undefined) {
  console.error("usage: node generate.mjs FILE.wasm PROMPT LENGTH SEED");
  process.exit(2);
}
await generate(file, prompt, Number(length), Number(seed)).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
