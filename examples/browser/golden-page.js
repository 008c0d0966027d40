/** Show what the golden vectors of all models say, a line for each in each engine. */
import { enginesOf, load } from "./engines.js";
import { checkBundle } from "./golden.js";

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
  for (const listed of models) {
    for (const engine of enginesOf(listed)) {
      const { name } = listed;
      const read = (file) => download(`models/${name}/golden/${file}`);
      const { passed, line } = await checkBundle(`${name} (${engine})`, await load(name, engine), read);
      show(passed, line);
    }
  }
}

await checkAll().catch((error) => show(false, `error: ${error.message}`));
results.ariaBusy = "false";
