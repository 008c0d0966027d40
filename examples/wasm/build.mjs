/** Put the page and the models, compiled, into build/site, a folder for any static server: node build.mjs [MODELS] */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { compile } from "./compile.mjs";

const SITE = "build/site";
const PAGE = /\.(html|css|js|svg)$/;

const [models = "models"] = process.argv.slice(2);
rmSync(SITE, { recursive: true, force: true });
mkdirSync(`${SITE}/models`, { recursive: true });
for (const file of readdirSync(".").filter((name) => PAGE.test(name))) cpSync(file, `${SITE}/${file}`);
const names = readdirSync(models).filter((name) => existsSync(`${models}/${name}/manifest.json`)).sort();
const listed = names.map((name) => {
  const { metadata } = JSON.parse(readFileSync(`${models}/${name}/manifest.json`, "utf8"));
  return { name, text: Boolean(metadata.vocabulary) };
});
for (const name of names) {
  compile(`${models}/${name}`, `${SITE}/models/${name}/model.wasm`);
  cpSync(`${models}/${name}/golden`, `${SITE}/models/${name}/golden`, { recursive: true, dereference: true });
}
writeFileSync(`${SITE}/models/index.json`, JSON.stringify(listed));
