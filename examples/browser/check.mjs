/**
 * Check build/site in Chromium: every golden vector in each engine, and the text that the page writes, offline.
 *
 * node check.mjs [PROMPT LENGTH SEED]
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { enginesOf } from "./engines.js";
import { SITE, serve } from "./serve.mjs";

const WIDTHS = [360, 900, 1500]; // of the screenshots, each light and dark
const FASTEST = "8"; // the right end of the page's pace

const [prompt = "The ", length = "100", seed = "1"] = process.argv.slice(2);
const models = JSON.parse(readFileSync(join(SITE, "models/index.json"), "utf8"));
const problems = [];

/** Open a page that has nothing to complain of and that asks no other server. */
async function open(browser, address, options = {}) {
  const context = await browser.newContext(options);
  context.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${address}/`)) {
      problems.push(`asked another server: ${request.url()}`);
    }
  });
  context.on("requestfailed", (request) => problems.push(`not loaded: ${request.url()}`));
  context.on("weberror", (error) => problems.push(`error in the page: ${error.error()}`));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`in the console: ${message.text()}`);
  });
  return context.newPage();
}

async function checkGolden(browser, address) {
  const page = await open(browser, address);
  await page.goto(`${address}/golden.html`);
  await page.locator("#results[aria-busy=false]").waitFor({ timeout: 300_000 });
  const lines = await page.locator("#results li").all();
  let passed = lines.length > 0;
  for (const line of lines) {
    const right = (await line.getAttribute("class")) === "passed";
    (right ? console.log : console.error)(await line.textContent());
    passed &&= right;
  }
  await page.context().close();
  return passed;
}

/** In a page: give each input of a model token ids that there are not; tell what is wrong with what it says of them. */
async function tryTokens({ name, engine, unknown }) {
  const { load } = await import(new URL("engines.js", document.baseURI).href);
  const model = await load(name, engine);
  const session = model.session(2);
  const before = session.state;
  const wrong = [];
  for (const { name: input, vocabulary: end } of model.signature.inputs) {
    for (const id of end === undefined ? [] : [BigInt(end), ...unknown.map(BigInt)]) {
      const step = model.zeros(2);
      step[input][1] = id;
      const expected = `RangeError: ${input}[1]: expected a token id from 0 to ${end - 1}, got ${id}`;
      const got = await (async () => session.step(step))().then(() => "no error", String);
      if (got !== expected) wrong.push(`expected ${expected}, got ${got}`);
    }
  }
  if (String(session.state) !== String(before)) wrong.push("expected the state as before, got another");
  return wrong;
}

async function checkTokens(browser, address) {
  const page = await open(browser, address);
  await page.goto(address);
  await settled(page);
  const unknown = ["-1", String(-(2n ** 63n)), String(2n ** 63n - 1n)];
  for (const model of models) {
    for (const engine of enginesOf(model)) {
      const wrong = await page.evaluate(tryTokens, { name: model.name, engine, unknown });
      problems.push(...wrong.map((problem) => `${model.name} in ${engine}: ${problem}`));
    }
  }
  await page.context().close();
}

/** In a page: load a model in ONNX Runtime Web; tell what is said of it. */
async function tryLoad(name) {
  const { load } = await import(new URL("engines.js", document.baseURI).href);
  return load(name, "onnxruntime-web").then(() => "no error", String);
}

/** Give a page manifests of another format and of another call. */
async function checkManifests(browser, address) {
  const page = await open(browser, address);
  await page.goto(address);
  await settled(page);
  const [{ name }] = models;
  const manifest = JSON.parse(readFileSync(join(SITE, "models", name, "manifest.json"), "utf8"));
  const { signature } = manifest;
  for (const [change, words] of [
    [{ format_version: 1 }, "expected manifest format 2, got 1: export and scaffold with one rnn-export"],
    [{ signature: { ...signature, lengths: true } }, "expected a streamable model without lengths: export it so"],
  ]) {
    await page.route("**/manifest.json", (route) => route.fulfill({ json: { ...manifest, ...change } }));
    const got = await page.evaluate(tryLoad, name);
    if (!got.endsWith(words)) problems.push(`${name}: expected ${words}, got ${got}`);
    await page.unroute("**/manifest.json");
  }
  await page.context().close();
}

/** Give a page models that were not compiled: it takes ONNX Runtime Web, which it does not ask for otherwise. */
async function checkFallback(browser, address) {
  for (const compiled of [true, false]) {
    const page = await open(browser, address);
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    const listed = models.map((model) => ({ ...model, wasm: compiled && model.wasm }));
    await page.route("**/models/index.json", (route) => route.fulfill({ json: listed }));
    await page.goto(address);
    await settled(page);
    const [engine] = enginesOf(listed.find(({ text }) => text) ?? listed[0]);
    const got = await page.locator("#engine").inputValue();
    if (got !== engine) problems.push(`expected the engine ${engine}, got ${got}`);
    const loaded = asked.some((url) => url.includes("/ort/")) ? "onnxruntime-web" : "wasm";
    if (loaded !== engine) problems.push(`expected that ${engine} is loaded alone, got ${asked.join(", ")}`);
    await page.context().close();
  }
}

async function settled(page) {
  await page.waitForFunction(() => /ready|Done|cannot/.test(document.querySelector("#status").textContent));
}

async function fillPrompt(page) {
  if (await page.locator("#prompt").isVisible()) await page.locator("#prompt").fill(prompt);
}

/** Let the page write with one model in an engine, while it cannot ask any server; give what it wrote. */
async function write(page, name, engine) {
  await page.locator("#model").selectOption(name, { force: true });
  await page.locator("#engine").selectOption(engine, { force: true });
  await settled(page);
  if (await page.locator("#write").isDisabled()) return "";
  await page.context().setOffline(true);
  await fillPrompt(page);
  await page.locator("#length").fill(length);
  await page.locator("#seed").fill(seed);
  await page.locator("#pace").fill(FASTEST);
  await page.locator("#write").click();
  await settled(page);
  await page.context().setOffline(false);
  const problem = await page.locator("#prompt-problem").textContent();
  if (problem) problems.push(`${name}: ${problem}`);
  return page.locator("#text").evaluate((box) => box.textContent);
}

async function checkText(browser, address) {
  const page = await open(browser, address);
  await page.goto(address);
  await settled(page);
  for (const model of models) {
    const [first, ...others] = enginesOf(model);
    const text = await write(page, model.name, first);
    if (model.text) console.log(`text: ${text}`);
    for (const engine of others) {
      const other = await write(page, model.name, engine);
      if (model.text && other !== text) problems.push(`${model.name} in ${engine}: expected the text ${text}, got ${other}`);
    }
  }
  await page.context().close();
}

/** Write build/screenshot-WIDTH-SCHEME.png while the page writes text; nothing may stick out of the page. */
async function photograph(browser, address, width, colorScheme) {
  const page = await open(browser, address, { colorScheme, viewport: { width, height: 840 } });
  await page.goto(address);
  await settled(page);
  if (await page.locator("#write").isEnabled()) {
    await fillPrompt(page);
    await page.locator("#pace").fill("6");
    await page.locator("#write").click();
    await page.waitForFunction(() => Number(document.querySelector("#steps").textContent) > 150);
  }
  await page.screenshot({ path: `build/screenshot-${width}-${colorScheme}.png`, fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > width) problems.push(`expected a page of ${width} pixels, got ${wide}`);
  await page.context().close();
}

const [server, address] = await serve();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
const { version } = JSON.parse(readFileSync("node_modules/onnxruntime-web/package.json", "utf8"));
console.log(`built with: onnxruntime-web ${version}, Chromium ${browser.version()}`);
try {
  if (await checkGolden(browser, address)) {
    await checkText(browser, address);
    await checkTokens(browser, address);
    await checkManifests(browser, address);
    await checkFallback(browser, address);
    for (const width of problems.length ? [] : WIDTHS) {
      for (const scheme of ["light", "dark"]) await photograph(browser, address, width, scheme);
    }
  } else process.exitCode = 1;
} finally {
  await browser.close();
  server.close();
}
for (const problem of new Set(problems)) console.error(`error: ${problem}`);
if (problems.length) process.exitCode = 1;
