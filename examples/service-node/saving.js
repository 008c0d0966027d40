/**
 * The file that sessions are kept in while the service is down: a line of JSON each, the last one with their checksum.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("./recurrent.js").Values} Values */
/** @typedef {import("./sessions.js").Saved} Saved */

const FORMAT = "recurrent.sessions.1";
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };
const BYTES_AT_ONCE = 1 << 20;

/** @param {Model} model */
function fileOf({ manifest }) {
  return manifest.files["model.onnx"].sha256;
}

/**
 * Write sessions to a file, or leave the file as it is if that fails.
 * @param {string} path
 * @param {Map<string, Model>} models
 * @param {Iterable<Saved>} sessions
 */
export async function save(path, models, sessions) {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, "w", 0o600); // a state tells of what its session was fed
  try {
    const hash = createHash("sha256");
    let text = "";
    const flush = async () => {
      hash.update(text);
      await file.writeFile(text);
      text = "";
    };
    text += `${JSON.stringify({ format: FORMAT })}\n`;
    for (const session of sessions) {
      text += `${JSON.stringify(toLine(session, models))}\n`;
      if (text.length > BYTES_AT_ONCE) await flush();
    }
    await flush();
    await file.writeFile(`${JSON.stringify({ sha256: hash.digest("hex") })}\n`);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * @param {Saved} session
 * @param {Map<string, Model>} models
 */
function toLine({ model, state, ...rest }, models) {
  const file = fileOf(/** @type {Model} */ (models.get(model)));
  const leaves = state.map((values) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64"),
  );
  return { model, file, ...rest, state: leaves };
}

/**
 * Read the sessions of a file; there need not be one.
 * @param {string} path
 * @param {Map<string, Model>} models
 * @returns {Promise<{sessions: Saved[], changed: Map<string, number>}>} `changed`: how many sessions were left out of
 *   each model that is another one now, or is not here
 * @throws {Error} if the file is damaged
 */
export async function restore(path, models) {
  const bytes = await readFile(path).catch((error) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  /** @type {Saved[]} */
  const sessions = [];
  const changed = new Map();
  for (const line of bytes ? readLines(path, bytes) : []) {
    const model = models.get(line.model);
    if (model && fileOf(model) === line.file) sessions.push(fromLine(line, model));
    else changed.set(line.model, (changed.get(line.model) ?? 0) + 1);
  }
  return { sessions, changed };
}

/**
 * @param {string} path
 * @param {Buffer} bytes
 * @returns {any[]}
 */
function readLines(path, bytes) {
  const end = bytes.lastIndexOf("\n", bytes.length - 2) + 1;
  const expected = `${JSON.stringify({ sha256: createHash("sha256").update(bytes.subarray(0, end)).digest("hex") })}\n`;
  if (bytes.subarray(end).toString() !== expected) {
    throw new Error(`${path}: expected saved sessions, got a damaged file: move it away to start without them`);
  }
  const lines = [];
  for (let at = 0; at < end;) {
    const next = bytes.indexOf("\n", at) + 1;
    lines.push(JSON.parse(bytes.toString("utf8", at, next)));
    at = next;
  }
  const { format } = lines.shift();
  if (format === FORMAT) return lines;
  throw new Error(`${path}: expected the format ${FORMAT}, got ${format}: move it away to start without it`);
}

/**
 * @param {any} line
 * @param {Model} model
 * @returns {Saved}
 */
function fromLine({ model: name, id, state, steps, age, idle }, model) {
  const leaves = model.signature.state.map((leaf, i) => {
    const bytes = Uint8Array.from(Buffer.from(state[i], "base64"));
    return new ARRAYS[leaf.dtype](bytes.buffer);
  });
  model.checkState(leaves, 1);
  return { model: name, id, state: leaves, steps, age, idle };
}
