/** What the tests share: a small model that adds up its inputs, slowly if need be, and requests to a service of it. */
import { Service } from "./server.js";

/** @typedef {import("./recurrent.js").Model} Model */

/**
 * Make a model whose state is the sum of its inputs, and whose outputs are that sum at each time step.
 * @param {string} [sha256]
 * @returns {Model}
 */
export function adder(sha256 = "one") {
  const time = /** @type {const} */ (["time", "batch", 1]);
  const state = [{ name: "state_0", dtype: "float32", shape: ["batch", 1], initial: 0, output_name: "state_0_out" }];
  const inputs = { name: "inputs", dtype: "float32", shape: time, role: "sequence" };
  const outputs = { name: "outputs", dtype: "float32", shape: time };
  return /** @type {any} */ ({
    signature: { inputs: [inputs], state, outputs: [outputs] },
    manifest: {
      signature: { inputs: [inputs], state, outputs: [outputs] },
      metadata: {},
      files: { "model.onnx": { bytes: 4, sha256 } },
    },
    initialState: (batch = 1) => [new Float32Array(batch)],
    checkState: () => {},
    checkTokens: () => {},
    sizes: (/** @type {unknown} */ _, /** @type {number} */ time, /** @type {number} */ batch) => ({ time, batch }),
    async run(
      /** @type {Float32Array} */ inputs,
      /** @type {number} */ steps,
      /** @type {number} */ batch,
      state = [new Float32Array(batch)],
    ) {
      await new Promise((resolve) => setTimeout(resolve, inputs[0] === 5 ? 30 : 1)); // a five takes long
      if (inputs.includes(13)) throw new Error("thirteen");
      const sums = state[0].slice();
      const outputs = inputs.map((value, i) => (sums[i % batch] += value));
      return { outputs, state: [sums] };
    },
  });
}

/** @param {Partial<ConstructorParameters<typeof Service>[0]>} [options] */
export function serve(options = {}) {
  return new Service({ models: new Map([["adder", adder()]]), ...options });
}

/** @param {number[]} data @param {object} [rest] of the request */
export function numbers(data, rest = {}) {
  return { inputs: [{ name: "inputs", datatype: "FP32", shape: [data.length, 1, 1], data }], ...rest };
}

/**
 * Send a request, and read the answer if it is JSON.
 * @param {Service} service
 * @param {any} method
 * @param {string} url
 * @param {any} [payload]
 * @param {Record<string, string>} [headers]
 */
export async function ask(service, method, url, payload, headers) {
  const {
    statusCode: code,
    body,
    rawPayload,
    headers: got,
  } = await service.app.inject({ method, url, payload, headers });
  const json = String(got["content-type"]).startsWith("application/json") ? JSON.parse(body) : null;
  return { code, json, rawPayload, headers: got };
}

/**
 * Feed a session and give its answer.
 * @param {Service} service
 * @param {string} id
 * @param {number[]} data
 * @param {object} [flags]
 */
export function feed(service, id, data, flags = {}) {
  return ask(service, "POST", "/v2/models/adder/infer", numbers(data, { parameters: { sequence_id: id, ...flags } }));
}
