import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

const folder = mkdtempSync(join(tmpdir(), "service-"));
const saved = join(folder, "save");

/** @param {string[]} options */
function run(...options) {
  const child = spawn(process.execPath, ["--preserve-symlinks", "main.js", "--port", "0", ...options], {
    cwd: import.meta.dirname,
  });
  const out = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => (out.stdout += text));
  child.stderr.on("data", (text) => (out.stderr += text));
  return { child, out, ended: once(child, "exit").then(([code]) => code) };
}

/** @param {ReturnType<typeof run>} started */
async function address({ child, out }) {
  await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  const [, url] = out.stdout.match(/^listening on (http:\/\/127\.0\.0\.1:\d+)\n$/) ?? [];
  assert.ok(url, out.stderr);
  return url;
}

/**
 * Open a connection, send bytes and gather what comes.
 * @param {string} url
 * @param {string} text
 */
async function open(url, text) {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  await once(socket, "connect");
  let got = "";
  socket.on("data", (bytes) => (got += bytes));
  socket.write(text);
  return { socket, closed: once(socket, "close").then(() => got) };
}

test("it stops gracefully and goes on where it was", async () => {
  const first = run("--save", saved);
  const url = await address(first);
  const [name] = (await (await fetch(`${url}/v2/models/x`)).json()).error.match(/(?<=\()[^,)]+/);
  const { sequence_id: id } = await (await fetch(`${url}/v2/models/${name}/sessions`, { method: "POST" })).json();
  const body = `{"inputs":${" ".repeat(100)}7}`;
  const idle = await open(url, ""); // never asks
  const slow = await open(
    url,
    `POST /v2/models/${name}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n{`,
  );
  const alive = await open(url, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n");
  await wait(100);
  first.child.kill("SIGTERM");
  await wait(100);
  slow.socket.write(body.slice(1)); // what is in flight is answered
  assert.match(await slow.closed, /^HTTP\/1.1 400 [^]*connection: close[^]*inputs: expected a list, got 7/i);
  assert.match(await alive.closed, /^HTTP\/1.1 200 /);
  assert.equal(await idle.closed, "");
  assert.equal(await first.ended, 0);
  const lines = first.out.stderr.split("\n").slice(0, -1);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).event),
    ["start", "stop"],
  );
  assert.ok(existsSync(saved));

  const second = run("--save", saved);
  const found = await fetch(`${await address(second)}/v2/models/${name}/sessions/${id}`);
  assert.equal(found.status, 200);
  assert.ok(!existsSync(saved)); // a crash must not bring back what was
  second.child.kill("SIGINT");
  assert.equal(await second.ended, 0);
  assert.ok(existsSync(saved));
});

test("requests that follow one another on a connection are answered in their order", async () => {
  const started = run();
  const url = await address(started);
  const [name] = (await (await fetch(`${url}/v2/models/x`)).json()).error.match(/(?<=\()[^,)]+/);
  const { inputs, outputs } = await (await fetch(`${url}/v2/models/${name}`)).json();
  const after = outputs.map((/** @type {{name: string}} */ output) => output.name);
  const tensors = inputs
    .filter((/** @type {{name: string}} */ input) => !after.includes(`${input.name}_out`)) // the session has the state
    .map((/** @type {{name: string, datatype: string, shape: number[]}} */ { name, datatype, shape }) => {
      const count = shape.reduce((all, size) => all * Math.abs(size), 1);
      return { name, datatype, shape: shape.map(Math.abs), data: Array(count).fill(datatype === "BOOL" ? false : 0) };
    });
  const body = `{"parameters":{"sequence_id":"a","sequence_start":true},"inputs":${JSON.stringify(tensors)}}`;
  const head = "HTTP/1.1\r\nHost: x\r\n";
  const { socket, closed } = await open(
    url,
    `POST /v2/models/${name}/infer ${head}Content-Length: ${body.length}\r\n\r\n${body}` +
      `GET /v2/models/${name}/sessions/a ${head}\r\nDELETE /v2/models/${name}/sessions/a ${head}Connection: close\r\n\r\n`,
  );
  const codes = [...(await closed).matchAll(/HTTP\/1.1 (\d+)/g)].map(([, code]) => code);
  assert.deepEqual(codes, ["200", "200", "204"]);
  socket.destroy();
  started.child.kill("SIGTERM");
  assert.equal(await started.ended, 0);
});

test("what is no HTTP is told", async () => {
  const started = run();
  const { closed } = await open(await address(started), "hello\r\n\r\n");
  assert.match(await closed, /^HTTP\/1.1 400 Bad Request\r\n[^]*{"error":"expected HTTP, got something else/);
  started.child.kill("SIGTERM");
  assert.equal(await started.ended, 0);
});

test("it does not start with what is wrong", async () => {
  writeFileSync(join(folder, "damaged"), "x");
  /** @type {[string[], number, RegExp][]} */
  const cases = [
    [["--save", join(folder, "damaged")], 1, /^error: .*damaged: expected saved sessions, got a damaged file/],
    [["--save", join(folder, "no", "save")], 1, /^error: --save .*: expected a folder to write to, got none/],
    [["--models", folder], 1, /^error: .*: expected bundles in it, got none: --models says where they are/],
    [["--port", "x"], 2, /^error: --port: expected an integer from 0 to 65535, got x\nusage: /],
    [["--no-such"], 2, /^error: .*--no-such[^]*usage: /],
  ];
  for (const [options, status, message] of cases) {
    const { ended, out } = run(...options);
    assert.equal(await ended, status);
    assert.match(out.stderr, message);
  }
});
