/** Show what the golden vectors of all models say, a line for each. */
import { checkBundle } from "./golden.js";

const results = document.querySelector("#results");

function show(passed, line) {
  const item = results.appendChild(document.createElement("li"));
  item.className = passed ? "passed" : "failed";
  item.textContent = line;
}

async function checkAll() {
  const models = await (await fetch("models/index.json")).json();
  if (!models.length) throw new Error("expected models, got none: put bundles into models/ and build again");
  for (const { name } of models) {
    const { passed, line } = await checkBundle(name, new URL(`models/${name}/`, document.baseURI));
    show(passed, line);
  }
}

await checkAll().catch((error) => show(false, `error: ${error.message}`));
results.ariaBusy = "false";
