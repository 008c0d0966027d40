/** Run the golden vectors of build/site in Node: node node/golden.mjs [SITE] */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { checkBundle } from "../golden.js";
import { Model } from "../recurrent.js";

const [site = "build/site"] = process.argv.slice(2);
for (const { name } of JSON.parse(readFileSync(join(site, "models/index.json"), "utf8"))) {
  const folder = join(site, "models", name);
  const model = await Model.load(join(folder, "model.wasm"));
  const read = async (file) => Uint8Array.from(await readFile(join(folder, "golden", file))).buffer;
  const { passed, line } = await checkBundle(`${name} (node)`, model, read);
  (passed ? console.log : console.error)(line);
  if (!passed) process.exitCode = 1;
}
