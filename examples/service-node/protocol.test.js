import assert from "node:assert/strict";
import { test } from "node:test";

import { parseCall } from "./protocol.js";
import { Model } from "./recurrent.js";
import { decode, toJson } from "./tensors.js";
import { adder, ask, numbers, serve } from "./tests.js";
import { runInTurns, stepsAtOnce } from "./turns.js";

const URL = "/v2/models/adder/infer";
const service = serve({ maxBody: 4000 });

test("metadata and health", async () => {
  assert.equal((await ask(service, "GET", "/v2")).json.name, "recurrent-service-node");
  assert.deepEqual((await ask(service, "GET", "/v2/health/live")).json, { live: true });
  assert.deepEqual((await ask(service, "GET", "/v2/health/ready")).json, { ready: true });
  for (const version of ["", "/versions/1"]) {
    const { json } = await ask(service, "GET", `/v2/models/adder${version}`);
    const sequence = { role: "sequence", time_axis: 0, batch_axis: 1 };
    const state = { role: "state", batch_axis: 0, output_name: "state_0_out", initial: 0 };
    assert.deepEqual(json.inputs, [
      { name: "inputs", datatype: "FP32", shape: [-1, -1, 1], parameters: sequence },
      { name: "state_0", datatype: "FP32", shape: [-1, 1], parameters: state },
    ]);
    assert.deepEqual(json.outputs[0].parameters, { ...sequence, role: "output" });
    assert.deepEqual(json.outputs[1].parameters, { role: "state", batch_axis: 0, input_name: "state_0" });
    assert.equal((await ask(service, "GET", `/v2/models/adder${version}/ready`)).json.ready, true);
  }
});

test("JSON, flat and nested, with and without a state", async () => {
  const { json } = await ask(service, "POST", URL, numbers([1, 2, 3], { id: "mine" }));
  assert.deepEqual([json.id, json.model_name, json.model_version], ["mine", "adder", "1"]);
  assert.deepEqual(json.outputs[0], { name: "outputs", datatype: "FP32", shape: [3, 1, 1], data: [1, 3, 6] });
  assert.deepEqual(json.outputs[1], { name: "state_0_out", datatype: "FP32", shape: [1, 1], data: [6] });
  const nested = numbers([1, 2, 3]);
  nested.inputs[0].data = /** @type {any} */ ([[[1]], [[2]], [[3]]]);
  nested.inputs.unshift({ name: "state_0", datatype: "FP32", shape: [1, 1], data: [10] });
  assert.deepEqual((await ask(service, "POST", URL, nested)).json.outputs[0].data, [11, 13, 16]);
});

test("binary tensors, in and out", async () => {
  const outputs = [{ name: "state_0_out", parameters: { binary_data: true } }, { name: "outputs" }];
  const json = Buffer.from(
    JSON.stringify({
      inputs: [{ name: "inputs", datatype: "FP32", shape: [2, 1, 1], parameters: { binary_data_size: 8 } }],
      outputs,
    }),
  );
  const bytes = Buffer.from(Float32Array.of(1.5, 2).buffer);
  const headers = { "inference-header-content-length": String(json.length) };
  const { code, rawPayload, headers: got } = await ask(service, "POST", URL, Buffer.concat([json, bytes]), headers);
  assert.equal(code, 200);
  assert.equal(got["content-type"], "application/octet-stream");
  const end = Number(got["inference-header-content-length"]);
  const answer = JSON.parse(rawPayload.toString("utf8", 0, end));
  assert.deepEqual(answer.outputs[0], {
    name: "state_0_out",
    datatype: "FP32",
    shape: [1, 1],
    parameters: { binary_data_size: 4 },
  });
  assert.deepEqual(answer.outputs[1].data, [1.5, 3.5]);
  assert.equal(rawPayload.readFloatLE(end), 3.5);
  const short = { "inference-header-content-length": String(json.length + 4) };
  for (const wrong of [
    {},
    short,
    { "inference-header-content-length": "99999" },
    { "inference-header-content-length": "-1" },
  ]) {
    assert.equal((await ask(service, "POST", URL, Buffer.concat([json, bytes]), wrong)).code, 400);
  }
  const nan = Buffer.concat([json, Buffer.from(Float32Array.of(1, NaN).buffer)]);
  assert.match(
    (await ask(service, "POST", URL, nan, headers)).json.error,
    /inputs\[1\]: expected a finite float32, got NaN/,
  );
  const more = Buffer.concat([json, bytes, bytes]);
  assert.match((await ask(service, "POST", URL, more, headers)).json.error, /expected 8 bytes behind the JSON, got 16/);
});

const inputs = numbers([1]).inputs[0];
/** @type {[any, RegExp][]} */
const WRONG = [
  ["{", /expected JSON, got Expected property name/],
  ["", /expected JSON, got nothing/],
  ["[1]", /the request: expected an object, got a list of 1/],
  ["null", /the request: expected an object, got null/],
  [{}, /inputs: expected a list, got nothing/],
  [{ inputs: [] }, /inputs: expected inputs alone or inputs, state_0, got none: send all of the state or none/],
  [{ inputs: [7] }, /inputs\[0\]: expected an object, got 7/],
  [{ inputs: [{ ...inputs, name: "x" }] }, /inputs: expected inputs alone or inputs, state_0, got "x"/],
  [{ inputs: [inputs, inputs] }, /inputs: expected .*, got "inputs", "inputs"/],
  [{ inputs: [{ ...inputs, datatype: "FP64" }] }, /inputs: expected the datatype FP32, got "FP64"/],
  [{ inputs: [{ ...inputs, shape: [1, 1] }] }, /inputs: expected the shape \[time, batch, 1\], got \[1, 1\]/],
  [{ inputs: [{ ...inputs, shape: [1, 1, 2] }] }, /expected the shape .*, got \[1, 1, 2\]/],
  [{ inputs: [{ ...inputs, shape: [0, 1, 1] }] }, /got \[0, 1, 1\]: send it so, every size 1 or more/],
  [{ inputs: [{ ...inputs, shape: [-1, 1, 1] }] }, /got \[-1, 1, 1\]/],
  [{ inputs: [{ ...inputs, shape: [1e300, 1, 1] }] }, /got \[1e\+300, 1, 1\]/],
  [{ inputs: [{ ...inputs, shape: "x" }] }, /got "x"/],
  [
    { inputs: [{ ...inputs, shape: [9e9, 9e9, 1] }] },
    /expected data, a list of 81000000000000000000 numbers, got a list of 1/,
  ],
  [{ inputs: [{ ...inputs, data: undefined }] }, /expected data, a list of 1 numbers, got nothing/],
  [{ inputs: [{ ...inputs, data: [[1]] }] }, /expected lists of 1 on axis 2, got 1/],
  [{ inputs: [{ ...inputs, data: ["1"] }] }, /inputs\[0\]: expected a number, got "1"/],
  [{ inputs: [{ ...inputs, data: [1e39] }] }, /inputs\[0\]: expected a finite float32, got Infinity/],
  [{ inputs: [{ ...inputs, parameters: { shared_memory_region: "x" } }] }, /this server has no such extension/],
  [
    { inputs: [inputs, { ...inputs, name: "state_0", shape: [2, 1], data: [1, 2] }] },
    /state_0: expected the shape \[1, 1\], got \[2, 1\]/,
  ],
  [{ inputs: [inputs], outputs: [{ name: "x" }] }, /outputs\[0\]: expected one of outputs, state_0_out, got "x"/],
  [{ inputs: [inputs], outputs: [] }, /outputs: expected one or more names/],
  [{ inputs: [inputs], id: 7 }, /id: expected a string, got 7/],
  [{ inputs: [inputs], parameters: 7 }, /parameters: expected an object, got 7/],
  [{ inputs: [inputs], parameters: { sequence_start: true } }, /expected a sequence_id beside them, got none/],
  [{ inputs: [inputs], parameters: { sequence_id: "" } }, /sequence_id: expected a string of 1 to 128 characters/],
  [{ inputs: [inputs], parameters: { sequence_id: 1.5 } }, /sequence_id: .*got 1.5/],
  [
    { inputs: [inputs], parameters: { sequence_id: "a", sequence_start: 1 } },
    /sequence_start: expected true or false, got 1/,
  ],
  [numbers([13]), /adder: expected inputs that the model takes, got an error: thirteen/],
];

test("what is wrong is told", async () => {
  for (const [payload, message] of WRONG) {
    const { code, json } = await ask(service, "POST", URL, payload);
    assert.deepEqual(Object.keys(json), ["error"]);
    assert.match(json.error, message);
    assert.equal(code, 400, json.error);
  }
});

test("no path, no model, no version, no such method, a body or an answer that is too large", async () => {
  /** @type {[string, string, number, RegExp][]} */
  const cases = [
    ["GET", "/v3", 404, /expected a path of this server, got "\/v3"/],
    ["GET", "/v2/models/x", 404, /expected a model of this server \(adder\), got "x"/],
    ["GET", "/v2/models/adder/versions/2", 404, /expected version 1 of adder, got "2"/],
    ["POST", "/v2", 405, /expected GET or HEAD, got POST/],
    ["DELETE", URL, 405, /expected POST, got DELETE/],
    ["GET", "/v2/models/%zz", 400, /expected an encoded path/],
  ];
  for (const [method, url, status, message] of cases) {
    const { code, json } = await ask(service, method, url);
    assert.match(json.error, message);
    assert.equal(code, status);
  }
  const packed = await ask(service, "POST", URL, "x", { "content-encoding": "gzip" });
  assert.deepEqual([packed.code, packed.json.error], [415, 'expected a body as it is, got "gzip": do not compress']);
  const { code, json } = await ask(service, "POST", URL, " ".repeat(4001));
  assert.deepEqual(
    [code, json.error],
    [413, "expected a body of at most 4000 bytes, got more: send the sequence in parts"],
  );
  const two = Buffer.from(JSON.stringify(numbers([1, 2])));
  assert.throws(() => parseCall(adder(), two, undefined, 11), {
    statusCode: 413,
    message: /expected an answer of at most 11 bytes, got 12 bytes of outputs and state: send fewer/,
  });
});

test("what JSON cannot carry is told, and binary data carries it", async () => {
  const huge = { inputs: [{ name: "inputs", datatype: "FP32", shape: [2, 1, 1], data: [3e38, 3e38] }] };
  const { code, json } = await ask(service, "POST", URL, huge);
  assert.equal(code, 422);
  assert.match(json.error, /outputs\[1\]: expected a number that JSON can carry, got Infinity/);
  const binary = { ...huge, parameters: { binary_data_output: true } };
  assert.equal((await ask(service, "POST", URL, binary)).code, 200);
});

test("truth values are true and false, or bytes of 1 and 0", async () => {
  const spec = /** @type {const} */ ({ name: "alarm", dtype: "bool", shape: ["time", "batch"] });
  const tensor = { name: "alarm", datatype: "BOOL", shape: [2, 1] };
  const values = Uint8Array.of(1, 0);
  const given = /** @type {any} */ (spec);
  assert.deepEqual(decode(given, { ...tensor, data: [true, false] }, null, {}), values);
  assert.deepEqual(decode(given, tensor, Buffer.from(values), {}), values);
  assert.equal(Buffer.concat(await toJson("alarm", values)).toString(), "[true,false]");
  assert.throws(() => decode(given, { ...tensor, data: [1, 0] }, null, {}), /alarm\[0\]: expected true or false, got 1/);
  assert.throws(() => decode(given, tensor, Buffer.from([0, 7]), {}), /alarm\[1\]: expected a byte of 0 or 1, got 7/);
});

test("a long list is JSON as well", async () => {
  const values = Float32Array.from({ length: 20000 }, (_, i) => i / 3);
  assert.deepEqual(Float32Array.from(JSON.parse(Buffer.concat(await toJson("outputs", values)).toString())), values);
});

test("a token id that there is not is told before the first piece is run", async () => {
  const inputs = { name: "inputs", dtype: "int64", shape: ["time", "batch"], vocabulary: 3 };
  const runtime = { run: () => assert.fail("expected no call of the runtime, got one") };
  const manifest = { signature: { ...adder().manifest.signature, inputs: [inputs] }, metadata: {} };
  const model = new Model(/** @type {any} */ (manifest), /** @type {any} */ (runtime));
  const long = BigInt64Array.of(0n, 1n, 2n, 0n, 3n, 0n);
  const told = { name: "RangeError", message: "inputs[4]: expected a token id from 0 to 2, got 3" };
  await assert.rejects(runInTurns(model, long, 6, 1, undefined, 2), told);
});

test("several inputs, a context among them, and outputs of the last step go in pieces", async () => {
  const dtype = "float32";
  const signature = {
    ...adder().manifest.signature,
    inputs: [
      { name: "x", dtype, shape: ["time", "batch"] },
      { name: "site", dtype, shape: ["batch"] },
    ],
    outputs: [
      { name: "y", dtype, shape: ["time", "batch"] },
      { name: "last", dtype, shape: ["batch"] },
    ],
    state: [],
  };
  const runtime = {
    run: async (/** @type {any} */ { x, site }) => {
      const y = x.data.map((/** @type {number} */ value) => value * site.data[0]);
      return { y: { data: y }, last: { data: y.slice(-1) } };
    },
  };
  const model = new Model(/** @type {any} */ ({ signature, metadata: {} }), /** @type {any} */ (runtime));
  const inputs = { x: Float32Array.of(1, 2, 3), site: Float32Array.of(10) };
  const { outputs } = await runInTurns(model, inputs, 3, 1, [], 2);
  assert.deepEqual(outputs, { y: Float32Array.of(10, 20, 30), last: Float32Array.of(30) });
});

test("a long sequence in pieces is the same", async () => {
  const model = adder();
  const inputs = Float32Array.from({ length: 12 }, (_, i) => i);
  const whole = await model.run(inputs, 6, 2);
  assert.deepEqual(await runInTurns(model, inputs, 6, 2, undefined, 4), whole);
  assert.equal(stepsAtOnce(model, 4), 512);
  model.manifest.files["model.onnx"].bytes = 1e12;
  assert.equal(stepsAtOnce(model, 4), 1);
});
