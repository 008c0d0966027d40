/** The page: what the golden vectors say of each model here, in the page and in an AudioWorklet. */
import { isAudio, render } from "./audio.js";
import { checkAudio, checkBundle } from "./golden.js";
import { Model } from "./recurrent.js";

const results = document.querySelector("#results");

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`expected ${url}, got HTTP ${response.status}`);
  return response.arrayBuffer();
}

function show(passed, line) {
  const item = results.appendChild(document.createElement("li"));
  item.className = passed ? "passed" : "failed";
  item.textContent = line;
}

async function checkAll() {
  const models = await (await fetch("models/index.json")).json();
  if (!models.length) throw new Error("expected models, got none: put bundles into models/ and build again");
  for (const { name } of models) {
    const folder = new URL(`models/${name}/`, document.baseURI);
    const bytes = await download(new URL("model.wasm", folder));
    const model = await Model.load(bytes);
    const read = (file) => download(new URL(`golden/${file}`, folder));
    const { passed, line } = await checkBundle(`${name} (browser)`, model, read);
    show(passed, line);
    if (passed && isAudio(model)) {
      const heard = await checkAudio(`${name} in an AudioWorklet`, model, read, render);
      show(heard.passed, heard.line);
    }
    show(true, `${name}: ${bytes.byteLength.toLocaleString("en")} bytes`);
  }
}

await checkAll().catch((error) => show(false, `error: ${error.message}`));
results.ariaBusy = "false";
