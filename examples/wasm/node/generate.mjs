/** Continue a text in Node: node node/generate.mjs FILE.wasm PROMPT LENGTH SEED */
import { Writer } from "../generate.js";
import { load } from "../recurrent.js";

const TEMPERATURE = 0.6; // below 1: safer; above 1: wilder

const [file, prompt, length, seed] = process.argv.slice(2);
if (seed === undefined) {
  console.error("usage: node node/generate.mjs FILE.wasm PROMPT LENGTH SEED");
  process.exit(2);
}
try {
  const net = await load(file);
  const { vocabulary } = net.model;
  if (!vocabulary) throw new Error(`expected a model with a vocabulary, got ${file}: name a text model`);
  const writer = new Writer(net, vocabulary, prompt, Number(seed));
  for (let left = Number(length); left > 0; ) {
    const { given, text } = await writer.next(TEMPERATURE);
    process.stdout.write(text);
    if (!given) left--;
  }
  process.stdout.write("\n");
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
