/**
 * The Open Inference Protocol, version 2, with binary tensors and sequences: requests to calls, results to answers.
 *
 * @module
 */
import { ServiceError, show } from "./errors.js";
import { byName, countOf, sizesOf } from "./recurrent.js";
import { bytesOf, decode, describe, parametersOf, toBytes, toJson } from "./tensors.js";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("./recurrent.js").Values} Values */
/** @typedef {import("./recurrent.js").Named} Named */
/** @typedef {import("./recurrent.js").Sizes} Sizes */
/** @typedef {import("./recurrent.js").State} State */
/** @typedef {import("./recurrent.js").TensorSpec} TensorSpec */
/** @typedef {import("./tensors.js").Described} Described */
/** @typedef {{id: string, start: boolean, end: boolean}} Sequence which session a request feeds */
/** @typedef {{spec: TensorSpec, binary: boolean}} Wanted an output, and how it is answered */
/**
 * @typedef {object} Call
 * @property {string | undefined} id of the request, for its answer
 * @property {Sequence | null} sequence null: stateless
 * @property {Named} inputs
 * @property {State | undefined} state undefined: the initial one, or the session's
 * @property {number} steps
 * @property {number} batch
 * @property {Sizes} sizes those two, and others of the inputs
 * @property {Wanted[]} wanted
 */

const HEADER_LENGTH = "inference-header-content-length";
const LONGEST_ID = 128;
const [COMMA, DATA, CLOSE, END] = [",", ',"data":', "}", "]}"].map((text) => Buffer.from(text));

/**
 * Describe a model to clients.
 * @param {string} name
 * @param {Model} model
 */
export function metadata(name, model) {
  return {
    name,
    versions: ["1"],
    platform: "onnxruntime_onnx",
    inputs: inputsOf(model).map(describeWhole),
    outputs: outputsOf(model).map(describeWhole),
  };
}

/** @param {Described} spec */
function describeWhole(spec) {
  return { ...describe(spec), parameters: parametersOf(spec) };
}

/**
 * List the inputs of a model: those of a call, and the leaves of the state before it.
 * @param {Model} model
 * @returns {Described[]}
 */
export function inputsOf({ signature }) {
  return [...signature.inputs, ...signature.state.map((leaf) => ({ ...leaf, role: "state" }))];
}

/**
 * List the outputs of a model: those of its time steps, and the leaves of the state behind the last one.
 * @param {Model} model
 * @returns {Described[]}
 */
export function outputsOf({ signature }) {
  const leaves = signature.state.map(({ name, dtype, shape, output_name }) => {
    return { name: output_name, dtype, shape, role: "state", input_name: name };
  });
  return [...signature.outputs.map((output) => ({ ...output, role: "output" })), ...leaves];
}

/**
 * Read the body of an infer request.
 * @param {Model} model
 * @param {Buffer} body
 * @param {string | string[] | undefined} headerLength how many of its bytes are JSON; undefined: all
 * @param {number} limit how many bytes the outputs and the state may have
 * @returns {Call}
 * @throws {ServiceError} with status 400, or 413 where the answer would be too large
 */
export function parseCall(model, body, headerLength, limit) {
  const [json, binary] = splitBody(body, headerLength);
  const request = object("the request", parseJson(json));
  const parameters = object("parameters", request.parameters ?? {});
  const sequence = parseSequence(parameters);
  const { inputs, state, sizes } = parseInputs(model, list("inputs", request.inputs), binary, sequence);
  checkSize(model, sizes, limit);
  const wanted = parseWanted(model, request.outputs, flag(parameters, "binary_data_output"), sequence !== null);
  if (request.id !== undefined) text("id", request.id);
  return { id: request.id, sequence, inputs, state, steps: sizes.time, batch: sizes.batch, sizes, wanted };
}

/**
 * @param {Buffer} body
 * @param {string | string[] | undefined} headerLength
 * @returns {[Buffer, Buffer]} the JSON, and the binary data behind it
 */
function splitBody(body, headerLength) {
  if (headerLength === undefined) return [body, body.subarray(body.length)];
  const length = Number(headerLength);
  if (!/^\d+$/.test(String(headerLength)) || length > body.length) {
    const expected = `expected a number of bytes up to the body's ${body.length}`;
    throw new ServiceError(
      400,
      `${HEADER_LENGTH}: ${expected}, got ${show(headerLength)}: send the length of the JSON`,
    );
  }
  return [body.subarray(0, length), body.subarray(length)];
}

/** @param {Buffer} json */
function parseJson(json) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (error) {
    const got = error instanceof Error ? error.message : error;
    throw new ServiceError(
      400,
      `expected JSON, got ${json.length ? got : "nothing"}: NaN and Infinity are no JSON either`,
    );
  }
}

/**
 * @param {Record<string, any>} parameters
 * @returns {Sequence | null}
 */
function parseSequence(parameters) {
  const { sequence_id: given } = parameters;
  const [start, end] = [flag(parameters, "sequence_start"), flag(parameters, "sequence_end")];
  if (given === undefined) {
    if (!start && !end) return null;
    throw new ServiceError(400, "sequence_start, sequence_end: expected a sequence_id beside them, got none: send one");
  }
  const id = Number.isSafeInteger(given) ? String(given) : given;
  if (typeof id !== "string" || !id || id.length > LONGEST_ID) {
    const expected = `expected a string of 1 to ${LONGEST_ID} characters, or an integer`;
    throw new ServiceError(400, `sequence_id: ${expected}, got ${show(given)}: send one`);
  }
  return { id, start, end };
}

/**
 * @param {Model} model
 * @param {any[]} tensors of the request
 * @param {Buffer} binary
 * @param {Sequence | null} sequence
 */
function parseInputs(model, tensors, binary, sequence) {
  const pieces = cutBinary(tensors, binary);
  const { inputs, state } = model.signature;
  checkNames(inputs, sequence ? [] : state, tensors, sequence);
  /** @type {Sizes} */
  const sizes = sequence ? { batch: 1 } : {};
  const read = (/** @type {TensorSpec} */ spec) => {
    const at = tensors.findIndex((tensor) => tensor.name === spec.name);
    return decode(spec, tensors[at], pieces[at], sizes);
  };
  const named = Object.fromEntries(inputs.map((spec) => [spec.name, read(spec)]));
  return { inputs: named, state: tensors.length > inputs.length ? state.map(read) : undefined, sizes };
}

/**
 * Give each tensor its part of the binary data: they follow one another.
 * @param {any[]} tensors
 * @param {Buffer} binary
 */
function cutBinary(tensors, binary) {
  let at = 0;
  const pieces = tensors.map((tensor, i) => {
    const { parameters = {} } = object(`inputs[${i}]`, tensor);
    const size = object(`inputs[${i}].parameters`, parameters).binary_data_size;
    refuse(parameters, "shared_memory_region");
    if (size === undefined) return null;
    if (!Number.isSafeInteger(size) || size < 0 || size > binary.length - at) {
      const expected = `expected 0 to ${binary.length - at} bytes, which is what the body has left`;
      throw new ServiceError(400, `inputs[${i}]: binary_data_size: ${expected}, got ${show(size)}: send as many`);
    }
    at += size;
    return binary.subarray(at - size, at);
  });
  if (at === binary.length) return pieces;
  throw new ServiceError(400, `expected ${at} bytes behind the JSON, got ${binary.length}: mind ${HEADER_LENGTH}`);
}

/**
 * @param {TensorSpec[]} inputs which have to be there
 * @param {TensorSpec[]} state of which all have to be there, or none
 * @param {any[]} tensors
 * @param {Sequence | null} sequence
 */
function checkNames(inputs, state, tensors, sequence) {
  const [needed, leaves] = [inputs, state].map((specs) => specs.map((spec) => spec.name));
  const names = [...needed, ...leaves];
  const got = tensors.map((tensor) => tensor.name);
  const right = got.every((name, i) => names.includes(name) && got.indexOf(name) === i);
  if (right && needed.every((name) => got.includes(name)) && [needed.length, names.length].includes(got.length)) return;
  const expected = needed.join(", ") + (leaves.length ? ` alone or ${names.join(", ")}` : "");
  const why = sequence ? "a session keeps its state itself" : "send all of the state or none";
  throw new ServiceError(
    400,
    `inputs: expected ${expected}, got ${got.slice(0, 8).map(show).join(", ") || "none"}: ${why}`,
  );
}

/**
 * @param {Model} model
 * @param {Sizes} sizes
 * @param {number} limit
 */
function checkSize(model, sizes, limit) {
  const bytes = outputsOf(model).reduce((all, spec) => all + countOf(spec, sizes) * bytesOf(spec), 0);
  if (bytes <= limit) return;
  const got = `${bytes} bytes of outputs and state`;
  throw new ServiceError(
    413,
    `expected an answer of at most ${limit} bytes, got ${got}: send fewer time steps or rows at once`,
  );
}

/**
 * @param {Model} model
 * @param {unknown} outputs of the request
 * @param {boolean} binary unless an output says otherwise
 * @param {boolean} session
 * @returns {Wanted[]}
 */
function parseWanted(model, outputs, binary, session) {
  const specs = outputsOf(model);
  if (outputs === undefined) return (session ? model.signature.outputs : specs).map((spec) => ({ spec, binary }));
  const wanted = list("outputs", outputs).map((output, i) => {
    const { name, parameters = {} } = object(`outputs[${i}]`, output);
    const spec = specs.find((known) => known.name === name);
    if (!spec) {
      const names = specs.map((known) => known.name).join(", ");
      throw new ServiceError(400, `outputs[${i}]: expected one of ${names}, got ${show(name)}: ask for one of them`);
    }
    for (const other of ["classification", "shared_memory_region"])
      refuse(object(`outputs[${i}].parameters`, parameters), other);
    return { spec, binary: flag(parameters, "binary_data", binary) };
  });
  if (new Set(wanted.map(({ spec }) => spec)).size === wanted.length && wanted.length) return wanted;
  throw new ServiceError(400, "outputs: expected one or more names, each once, got others: leave it out for all");
}

/**
 * Write the answer to an infer request.
 * @param {string} name of the model
 * @param {Model} model
 * @param {Call} call
 * @param {{outputs: import("./recurrent.js").Outputs, state: State}} result
 * @param {object} [parameters] of the answer
 * @returns {Promise<{headers: Record<string, string | number>, body: Buffer}>}
 * @throws {ServiceError} with status 422 where JSON cannot carry a number of it
 */
export async function formatAnswer(name, model, call, result, parameters) {
  const { outputs, state } = model.signature;
  const leaves = state.map((leaf, i) => [leaf.output_name, result.state[i]]);
  const values = { ...byName(outputs, result.outputs), ...Object.fromEntries(leaves) };
  const head = JSON.stringify({ model_name: name, model_version: "1", id: call.id, parameters }).slice(0, -1);
  /** @type {Buffer[]} */
  const json = [Buffer.from(`${head},"outputs":[`)];
  /** @type {Buffer[]} */
  const binary = [];
  for (const { spec, binary: asBytes } of call.wanted) {
    const got = values[spec.name];
    const shape = sizesOf(spec, call.sizes);
    const described = {
      ...describe(spec),
      shape,
      ...(asBytes && { parameters: { binary_data_size: got.byteLength } }),
    };
    if (json.length > 1) json.push(COMMA);
    json.push(Buffer.from(JSON.stringify(described).slice(0, asBytes ? undefined : -1)));
    if (asBytes) binary.push(toBytes(got));
    else json.push(DATA, ...(await toJson(spec.name, got)), CLOSE);
  }
  json.push(END);
  if (!binary.length) return { headers: { "content-type": "application/json" }, body: Buffer.concat(json) };
  const length = json.reduce((all, part) => all + part.length, 0);
  const headers = { "content-type": "application/octet-stream", [HEADER_LENGTH]: length };
  return { headers, body: Buffer.concat([...json, ...binary]) };
}

/**
 * @param {string} what
 * @param {any} value
 * @returns {Record<string, any>}
 */
function object(what, value) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  throw new ServiceError(400, `${what}: expected an object, got ${show(value)}: send one`);
}

/**
 * @param {string} what
 * @param {any} value
 * @returns {any[]}
 */
function list(what, value) {
  if (Array.isArray(value)) return value;
  throw new ServiceError(400, `${what}: expected a list, got ${show(value)}: send one`);
}

/**
 * @param {string} what
 * @param {unknown} value
 */
function text(what, value) {
  if (typeof value !== "string")
    throw new ServiceError(400, `${what}: expected a string, got ${show(value)}: send one`);
}

/**
 * @param {Record<string, any>} parameters
 * @param {string} name
 * @param {boolean} [otherwise] where it is not there
 * @returns {boolean}
 */
function flag(parameters, name, otherwise = false) {
  const value = parameters[name] ?? otherwise;
  if (typeof value === "boolean") return value;
  throw new ServiceError(400, `${name}: expected true or false, got ${show(value)}: send one of them`);
}

/**
 * @param {Record<string, any>} parameters
 * @param {string} name of an extension of the protocol that is not here
 */
function refuse(parameters, name) {
  if (parameters[name] === undefined) return;
  throw new ServiceError(
    400,
    `${name}: expected none, got ${show(parameters[name])}: this server has no such extension`,
  );
}
