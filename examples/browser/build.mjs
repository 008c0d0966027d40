/**
 * Put the page, ONNX Runtime and the models into build/site, a folder for any static server: node build.mjs [MODELS]
 *
 * A bundle's model.c is compiled to WebAssembly, if there are clang and wasm-ld. Without, the page runs model.onnx.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { compile, missing } from "./compile.mjs";

const SITE = "build/site";
const PAGE = /\.(html|css|js|svg)$/;
const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const BUNDLE = ["manifest.json", "model.onnx", "golden"];

const [folder = "models"] = process.argv.slice(2);
const lacking = missing();
if (lacking) console.error(`model.c is not compiled: needs ${lacking}; get them with: apt-get install clang lld`);
rmSync(SITE, { recursive: true, force: true });
mkdirSync(`${SITE}/models`, { recursive: true });
for (const file of readdirSync(".").filter((name) => PAGE.test(name))) cpSync(file, `${SITE}/${file}`);
for (const file of RUNTIME) cpSync(`node_modules/onnxruntime-web/dist/${file}`, `${SITE}/ort/${file}`);
const names = readdirSync(folder).filter((name) => existsSync(`${folder}/${name}/manifest.json`)).sort();
const models = names.map((name) => {
  const [bundle, target] = [`${folder}/${name}`, `${SITE}/models/${name}`];
  const { metadata } = JSON.parse(readFileSync(`${bundle}/manifest.json`, "utf8"));
  for (const part of BUNDLE) cpSync(`${bundle}/${part}`, `${target}/${part}`, { recursive: true, dereference: true });
  const wasm = !lacking && existsSync(`${bundle}/model.c`);
  if (wasm) compile(bundle, `${target}/model.wasm`);
  return { name, text: Boolean(metadata.vocabulary), wasm };
});
writeFileSync(`${SITE}/models/index.json`, JSON.stringify(models)); // for the page, which cannot list a folder
