/** Put the page, ONNX Runtime and the models into build/site, a folder for any static server. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const SITE = "build/site";
const PAGE = /\.(html|css|js|svg)$/;
const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const BUNDLE = ["manifest.json", "model.onnx", "golden"];

/** List the bundles of a folder for the page, which cannot list one. */
export function listModels(folder) {
  const names = readdirSync(folder).filter((name) => existsSync(`${folder}/${name}/manifest.json`));
  return names.sort().map((name) => {
    const { metadata } = JSON.parse(readFileSync(`${folder}/${name}/manifest.json`, "utf8"));
    return { name, text: Boolean(metadata.vocabulary) };
  });
}

function build() {
  rmSync(SITE, { recursive: true, force: true });
  mkdirSync(`${SITE}/models`, { recursive: true });
  for (const file of readdirSync(".").filter((name) => PAGE.test(name))) cpSync(file, `${SITE}/${file}`);
  for (const file of RUNTIME) cpSync(`node_modules/onnxruntime-web/dist/${file}`, `${SITE}/ort/${file}`);
  const models = listModels("models");
  for (const { name } of models) {
    for (const part of BUNDLE) {
      cpSync(`models/${name}/${part}`, `${SITE}/models/${name}/${part}`, { recursive: true, dereference: true });
    }
  }
  writeFileSync(`${SITE}/models/index.json`, JSON.stringify(models));
}

if (fileURLToPath(import.meta.url) === process.argv[1]) build();
