/** main.js [OPTIONS]: serve the bundles of a folder until SIGTERM or SIGINT. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { Model } from "./recurrent.js";
import { restore, save } from "./saving.js";
import { Service } from "./server.js";

const USAGE = `usage: node main.js [OPTIONS]
  --host 127.0.0.1     the address to listen at
  --port 8000          0: any that is free
  --models models      the folder of the bundles
  --max-sessions 10000
  --idle-seconds 600   how long a session is kept that nobody feeds
  --max-body 4194304   of a request, and of the numbers of an answer, in bytes
  --log                a line of JSON to stderr for each request
  --save FILE          where sessions are kept while the service is down; without it, they are not`;

/** @param {string[]} given */
function parseOptions(given) {
  const text = (/** @type {string} */ value) => /** @type {const} */ ({ type: "string", default: value });
  const { values } = parseArgs({
    args: given,
    options: {
      host: text("127.0.0.1"),
      port: text("8000"),
      models: text("models"),
      "max-sessions": text("10000"),
      "idle-seconds": text("600"),
      "max-body": text("4194304"),
      log: { type: "boolean", default: false },
      save: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  return {
    host: values.host,
    port: number("--port", values.port, 0, 65535),
    models: values.models,
    maxSessions: number("--max-sessions", values["max-sessions"], 1),
    idleSeconds: number("--idle-seconds", values["idle-seconds"], 1),
    maxBody: number("--max-body", values["max-body"], 1, 2 ** 28),
    log: values.log,
    save: values.save,
    help: values.help,
  };
}

/**
 * @param {string} option
 * @param {string} text
 * @param {number} from
 * @param {number} [to]
 */
function number(option, text, from, to = Number.MAX_SAFE_INTEGER) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= from && value <= to) return value;
  throw new RangeError(`${option}: expected an integer from ${from} to ${to}, got ${text}`);
}

/**
 * @param {string} folder
 * @returns {Promise<Map<string, Model>>} by the names of their folders
 */
async function loadModels(folder) {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const models = new Map();
  for (const name of names) {
    if (existsSync(join(folder, name, "manifest.json"))) models.set(name, await Model.load(join(folder, name)));
  }
  if (!models.size) throw new Error(`${folder}: expected bundles in it, got none: --models says where they are`);
  return models;
}

/**
 * @param {Service} service
 * @param {string} path
 * @param {Map<string, Model>} models
 */
async function takeUp(service, path, models) {
  if (!existsSync(dirname(resolve(path))))
    throw new Error(`--save ${path}: expected a folder to write to, got none: make it`);
  const { sessions, changed } = await restore(path, models);
  for (const [name, count] of changed) {
    console.error(`warning: ${path}: sessions of ${name} not restored, as its model.onnx is another: ${count}`);
  }
  const count = service.sessions.restore(sessions);
  if (count < sessions.length)
    console.error(`warning: ${path}: sessions not restored for --max-sessions: ${sessions.length - count}`);
}

/** @param {ReturnType<typeof parseOptions>} options */
async function serve({ host, port, save: path, models: folder, ...limits }) {
  const models = await loadModels(folder);
  const service = new Service({ models, ...limits });
  if (path) await takeUp(service, path, models);
  await service.app.listen({ host, port });
  const stop = once((signal) => stopAndSave(service, path, models, signal));
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);
  if (path) rmSync(path, { force: true }); // sessions go on from here: a crash must not bring back what they were
  const address = /** @type {import("node:net").AddressInfo} */ (service.app.server.address());
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  service.logStart(url);
  console.log(`listening on ${url}`);
}

/**
 * @param {Service} service
 * @param {string | undefined} path
 * @param {Map<string, Model>} models
 * @param {string} signal
 */
async function stopAndSave(service, path, models, signal) {
  await service.stop();
  if (path) await save(path, models, service.sessions.dump());
  service.logStop(signal);
  process.exit(0);
}

/** @param {(signal: string) => Promise<void>} task */
function once(task) {
  /** @type {Promise<void> | undefined} */
  let running;
  return (/** @type {string} */ signal) => (running ??= task(signal).catch(fail));
}

/** @param {unknown} error */
function fail(error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

/** @type {ReturnType<typeof parseOptions>} */
let options;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exit(2);
}
if (options.help) console.log(USAGE);
else await serve(options).catch(fail);
