import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { restore, save } from "./saving.js";
import { adder, ask, feed, numbers, serve } from "./tests.js";

const SESSIONS = "/v2/models/adder/sessions";

/** @param {import("./server.js").Service} service */
async function metric(service, /** @type {string} */ name) {
  const { body } = await service.app.inject("/metrics");
  return Number(
    body
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")[1],
  );
}

test("a session is created, fed, inspected and deleted", async () => {
  const service = serve();
  const { code, json } = await ask(service, "POST", SESSIONS);
  assert.equal(code, 201);
  assert.match(json.sequence_id, /^[0-9a-f]{32}$/);
  const fed = await feed(service, json.sequence_id, [1, 2]);
  assert.deepEqual(fed.json.parameters, { sequence_id: json.sequence_id, steps: 2 });
  assert.deepEqual(
    fed.json.outputs.map((/** @type {any} */ output) => output.data),
    [[1, 3]],
  ); // and no state
  assert.deepEqual((await feed(service, json.sequence_id, [4])).json.outputs[0].data, [7]);
  const { json: found } = await ask(service, "GET", `${SESSIONS}/${json.sequence_id}`);
  assert.deepEqual([found.sequence_id, found.model, found.steps], [json.sequence_id, "adder", 3]);
  assert.ok(found.age_seconds >= found.idle_seconds && found.idle_seconds >= 0);
  assert.equal((await ask(service, "DELETE", `${SESSIONS}/${json.sequence_id}`)).code, 204);
  assert.equal((await ask(service, "DELETE", `${SESSIONS}/${json.sequence_id}`)).code, 404);
  assert.equal((await ask(service, "GET", `${SESSIONS}/${json.sequence_id}`)).code, 404);
  assert.equal((await feed(service, json.sequence_id, [1])).code, 404);
});

test("a client's id begins, begins again and ends; an integer is its string", async () => {
  const service = serve();
  assert.match((await feed(service, "a/ü", [1])).json.error, /expected a session of adder, got "a\/ü": begin one/);
  assert.deepEqual((await feed(service, "a/ü", [1], { sequence_start: true })).json.outputs[0].data, [1]);
  assert.deepEqual((await feed(service, "a/ü", [2], { sequence_start: true })).json.outputs[0].data, [2]);
  assert.equal((await ask(service, "GET", `${SESSIONS}/${encodeURIComponent("a/ü")}`)).json.steps, 1);
  assert.deepEqual((await feed(service, "a/ü", [3], { sequence_end: true })).json.outputs[0].data, [5]);
  assert.equal((await feed(service, "a/ü", [1])).code, 404);
  assert.equal(
    (await feed(service, /** @type {any} */ (7), [1], { sequence_start: true })).json.parameters.sequence_id,
    "7",
  );
  assert.deepEqual((await feed(service, "7", [1])).json.outputs[0].data, [2]);
});

test("requests are answered in the order of their arrival", async () => {
  const service = serve();
  await feed(service, "a", [0], { sequence_start: true });
  const answers = await Promise.all([
    feed(service, "a", [5]), // takes longest
    feed(service, "a", [1]),
    feed(service, "a", [2], { sequence_end: true }),
    feed(service, "a", [9]), // behind the end
    feed(service, "a", [3], { sequence_start: true }),
    feed(service, "a", [4]),
    wait(5).then(() => ask(service, "GET", `${SESSIONS}/a`)),
  ]);
  const got = answers.map(({ code, json }) => (json.outputs ? json.outputs[0].data[0] : (json.steps ?? code)));
  assert.deepEqual(got, [5, 6, 8, 404, 3, 7, 2]);
});

test("a bad request changes no session", async () => {
  const service = serve();
  await feed(service, "a", [1], { sequence_start: true });
  const bad = [
    await feed(service, "a", [1, 13]), // the model throws
    await feed(service, "a", [3e38, 3e38]), // JSON cannot carry the answer
    await feed(service, "a", [13], { sequence_start: true }),
    await feed(service, "a", [13], { sequence_end: true }),
    await feed(service, "b", [13], { sequence_start: true }),
    await ask(service, "POST", "/v2/models/adder/infer", {
      ...numbers([1]),
      parameters: { sequence_id: "a" },
      outputs: 7,
    }),
    await ask(service, "POST", "/v2/models/adder/infer", {
      inputs: [{ name: "inputs", datatype: "FP32", shape: [1, 2, 1], data: [1, 1] }],
      parameters: { sequence_id: "a" },
    }),
    await ask(service, "POST", "/v2/models/adder/infer", {
      inputs: [...numbers([1]).inputs, { name: "state_0", datatype: "FP32", shape: [1, 1], data: [1] }],
      parameters: { sequence_id: "a" },
    }),
  ];
  assert.deepEqual(
    bad.map(({ code }) => code),
    [400, 422, 400, 400, 400, 400, 400, 400],
  );
  assert.match(bad[6].json.error, /expected the shape \[time, 1, 1\], got \[1, 2, 1\]/);
  assert.match(bad[7].json.error, /expected inputs, got "inputs", "state_0": a session keeps its state itself/);
  assert.equal((await ask(service, "GET", `${SESSIONS}/b`)).code, 404);
  assert.deepEqual((await feed(service, "a", [1])).json.parameters, { sequence_id: "a", steps: 2 });
});

test("their number is bounded", async () => {
  const service = serve({ maxSessions: 2 });
  const full = await Promise.all(["a", "b", "c"].map((id) => feed(service, id, [1], { sequence_start: true })));
  assert.deepEqual(
    full.map(({ code }) => code),
    [200, 200, 429],
  );
  assert.match(
    (await ask(service, "POST", SESSIONS)).json.error,
    /expected at most 2 sessions, got one more: end some/,
  );
  assert.equal((await feed(service, "a", [1], { sequence_start: true })).code, 200); // not one more
  assert.equal(await metric(service, "rnn_sessions_rejected_total"), 2);
  await feed(service, "a", [1], { sequence_end: true });
  assert.equal((await feed(service, "d", [13], { sequence_start: true })).code, 400); // takes no place
  assert.equal((await ask(service, "POST", SESSIONS)).code, 201);
  assert.equal(await metric(service, 'rnn_sessions{model="adder"}'), 2);
});

test("idle ones expire, those in use do not", async () => {
  let now = 0;
  const service = serve({ idleSeconds: 10, now: () => now });
  for (const id of ["a", "b", "c"]) await feed(service, id, [1], { sequence_start: true });
  now = 8;
  await feed(service, "a", [1]);
  now = 12;
  assert.equal((await ask(service, "GET", `${SESSIONS}/b`)).code, 404);
  assert.equal(await metric(service, 'rnn_sessions_expired_total{model="adder"}'), 2);
  const { json } = await ask(service, "GET", `${SESSIONS}/a`);
  assert.deepEqual([json.steps, json.age_seconds, json.idle_seconds], [2, 12, 4]);
  const slow = feed(service, "a", [5]);
  await wait(10);
  now = 100;
  service.sessions.sweep();
  assert.equal((await slow).code, 200);
});

test("what is saved is restored, unless the model is another or the file is damaged", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sessions-"));
  const path = join(folder, "save");
  const models = new Map([["adder", adder()]]);
  assert.deepEqual(await restore(path, models), { sessions: [], changed: new Map() });
  const before = serve();
  for (const id of ["a", "b", "c"]) await feed(before, id, [1], { sequence_start: true });
  await feed(before, "a", [2]);
  await save(path, models, before.sessions.dump());
  assert.deepEqual(readdirSync(folder), ["save"]); // and no temporary file
  const after = serve({ maxSessions: 2 });
  assert.equal(after.sessions.restore((await restore(path, models)).sessions), 2); // those used last
  assert.deepEqual((await feed(after, "a", [4])).json.outputs[0].data, [7]);
  assert.deepEqual([(await feed(after, "b", [4])).code, (await feed(after, "c", [4])).code], [404, 200]);
  const another = await restore(path, new Map([["adder", adder("another")]]));
  assert.deepEqual(another, { sessions: [], changed: new Map([["adder", 3]]) });
  const bytes = readFileSync(path);
  for (const damaged of [
    bytes.subarray(0, 40),
    bytes.subarray(1),
    bytes.subarray(0, bytes.length - 1),
    Buffer.from("{}"),
    Buffer.alloc(0),
  ]) {
    writeFileSync(path, damaged);
    await assert.rejects(restore(path, models), /save: expected saved sessions, got a damaged file: move it away/);
  }
});
