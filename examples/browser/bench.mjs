/**
 * Time one step of one row of each model of build/site in each engine, in one page, by turns: node bench.mjs
 *
 * Prints JSON: for each model the microseconds of a step by engine, of a bare `run` of ONNX Runtime Web whose tensors are
 * made before ("run"), and the bytes that a page downloads for it.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve, SITE } from "./serve.mjs";

/** In a page: give the fastest of some rounds, in which all take turns: others use the machine, too. */
async function time({ name, engines, rounds, milliseconds }) {
  const at = (file) => new URL(file, document.baseURI).href;
  const [{ load }, { alone }] = [await import(at("engines.js")), await import(at("tensors.js"))];
  const steps = {};
  for (const engine of engines) {
    const model = await load(name, engine);
    const [session, inputs] = [model.session(), alone(model.zeros())];
    steps[engine] = engine === "wasm" ? () => session.step(inputs) : async () => session.step(inputs);
  }
  const ort = await import(at("ort/ort.wasm.min.mjs")); // as the adapter has set it up
  const bytes = await (await fetch(`models/${name}/model.onnx`)).arrayBuffer();
  const runtime = await ort.InferenceSession.create(new Uint8Array(bytes));
  const { signature } = await (await fetch(`models/${name}/manifest.json`)).json();
  const arrays = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };
  const feeds = [...signature.inputs, ...signature.state].map(({ name, dtype, shape }) => {
    const sizes = shape.map((size) => (typeof size === "number" ? size : 1));
    const count = sizes.reduce((all, size) => all * size, 1);
    return [name, new ort.Tensor(dtype, new arrays[dtype](count), sizes)];
  });
  steps.run = () => runtime.run(Object.fromEntries(feeds));
  const round = async (step, count) => {
    const start = performance.now();
    if (step === steps.wasm) for (let i = 0; i < count; i++) step();
    else for (let i = 0; i < count; i++) await step();
    return (1000 * (performance.now() - start)) / count;
  };
  const found = {};
  for (const [engine, step] of Object.entries(steps)) {
    await round(step, 200); // to warm up
    const count = Math.ceil((1000 * milliseconds) / (await round(step, 1000)));
    found[engine] = { count, times: [] };
  }
  for (let i = 0; i < rounds; i++) {
    for (const [engine, { count, times }] of Object.entries(found)) times.push(await round(steps[engine], count));
  }
  return Object.fromEntries(Object.entries(found).map(([engine, { times }]) => [engine, Math.min(...times)]));
}

const size = (...files) => files.reduce((sum, file) => sum + statSync(join(SITE, file)).size, 0);
const RUNTIME = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"].map((file) => `ort/${file}`);

const [server, address] = await serve();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(`${address}/golden.html`);
  await page.locator("#results[aria-busy=false]").waitFor({ timeout: 300_000 });
  if (await page.locator("#results .failed").count()) throw new Error(await page.locator("#results").textContent());
  await page.goto(address);
  await page.waitForFunction(() => /ready/.test(document.querySelector("#status").textContent));
  const rows = [];
  for (const { name, wasm } of JSON.parse(readFileSync(join(SITE, "models/index.json"), "utf8"))) {
    if (!wasm) throw new Error(`expected ${name} compiled, got none: install clang and lld, and build again`);
    const engines = ["wasm", "onnxruntime-web"];
    const times = await page.evaluate(time, { name, engines, rounds: 400, milliseconds: 1 });
    const folder = `models/${name}`;
    const bytes = {
      wasm: size(`${folder}/model.wasm`, "recurrent.js", "tensors.js"),
      "onnxruntime-web": size(`${folder}/model.onnx`, `${folder}/manifest.json`, "onnxruntime.js", "tensors.js", ...RUNTIME),
    };
    rows.push({ name, times, bytes, file: size(`${folder}/model.wasm`) });
  }
  console.log(JSON.stringify({ browser: browser.version(), rows }));
} finally {
  await browser.close();
  server.close();
}
