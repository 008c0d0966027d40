/**
 * Compile a bundle's model.c to WebAssembly, as `rnn-export compile DIR --wasm` does: node compile.mjs BUNDLE FILE.wasm
 *
 * Needs clang with wasm-ld (Debian: apt-get install clang lld), or what CLANG and WASM_LD name.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [CLANG, LINKER] = [process.env.CLANG || "clang", process.env.WASM_LD || "wasm-ld"];
// What model.c takes of the C library.
const STRING_H = ["memcpy", "memmove", "memset"].map((name) => `#define ${name} __builtin_${name}\n`).join("");
const OPTIONS = ["--target=wasm32", "-O2", "-fno-math-errno", "-fno-trapping-math", "-ffreestanding"];
OPTIONS.push("-msimd128", "-mbulk-memory");
const FORMAT = { format: "rnn_export.wasm", format_version: 1 };
const SECTION = "rnn_export";

/** Name what is not installed of what compiles; empty if all is. */
export function missing() {
  return [CLANG, LINKER].filter((tool) => spawnSync(tool, ["--version"]).status !== 0).join(" and ");
}

/** Compile the model.c of a bundle's folder. */
export function compile(bundle, target) {
  const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8"));
  const { name, sizes } = readHeader(readFileSync(join(bundle, "model.h"), "utf8"));
  const own = mkdtempSync(join(tmpdir(), "wasm-"));
  try {
    const [object, linked] = [join(own, "model.o"), join(own, "model.wasm")];
    writeFileSync(join(own, "string.h"), STRING_H);
    execFileSync(CLANG, [...OPTIONS, `-I${own}`, "-c", join(bundle, "model.c"), "-o", object]);
    execFileSync(LINKER, [...linkOptions(name, sizes), object, "-o", linked]);
    const said = { ...FORMAT, model: name, signature: manifest.signature, workspaces: workspaces(sizes, manifest.signature) };
    const section = customSection(SECTION, ascii({ ...said, metadata: manifest.metadata }));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, Buffer.concat([readFileSync(linked), section]));
  } finally {
    rmSync(own, { recursive: true });
  }
}

/** Read what the functions of a model begin with, and the sizes that model.h defines. */
function readHeader(text) {
  const name = text.match(/^void (\w+)_run\(/m)?.[1];
  if (!name) throw new Error("expected a model.h with a function that runs a model, got none: export the bundle again");
  const found = text.matchAll(new RegExp(`^#define ${name.toUpperCase()}_(\\w+)_SIZE (\\d+)`, "gm"));
  return { name, sizes: Object.fromEntries(Array.from(found, ([, size, number]) => [size, Number(number)])) };
}

/** A stack as large as model.h says: that of wasm-ld is 64 KB. It stands first, where one that is too small traps. */
function linkOptions(name, sizes) {
  const exported = [`${name}_run`, `${name}_initial_state`, `${name}_version`, "__heap_base"];
  const stack = `stack-size=${Math.ceil(sizes.STACK / 16) * 16}`;
  return ["--no-entry", "--stack-first", "--strip-all", "-z", stack, ...exported.map((one) => `--export=${one}`)];
}

/** Give the floats of workspace for each row and time step, or entry of a context, by that size; for batch, for each row. */
function workspaces(sizes, { inputs }) {
  const names = new Set(inputs.flatMap(({ shape }) => shape.filter((size) => typeof size === "string")));
  const key = (name) => (name === "time" ? "WORKSPACE" : `${name.toUpperCase()}_WORKSPACE`);
  return Object.fromEntries([...names].filter((name) => key(name) in sizes).map((name) => [name, sizes[key(name)]]));
}

/** Write JSON in ASCII: an AudioWorklet has nothing that decodes UTF-8. */
function ascii(value) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return Buffer.from(JSON.stringify(value).replace(/[\u0080-\uffff]/g, escaped));
}

/** Write a custom section, which a module may have behind all others. */
function customSection(name, content) {
  const body = Buffer.concat([leb128(name.length), Buffer.from(name), content]);
  return Buffer.concat([Buffer.of(0), leb128(body.length), body]);
}

/** Write an unsigned number in seven bits a byte, the lowest first. */
function leb128(number) {
  const bytes = [];
  for (; number >= 128; number = Math.floor(number / 128)) bytes.push((number % 128) | 128);
  return Buffer.of(...bytes, number);
}

if (fileURLToPath(import.meta.url) === process.argv[1]) {
  const [bundle, target] = process.argv.slice(2);
  if (!target) {
    console.error("usage: node compile.mjs BUNDLE FILE.wasm");
    process.exit(2);
  }
  compile(bundle, target);
}
