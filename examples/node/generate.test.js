import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { test } from "node:test";

import { folderOf } from "./app.js";

const NAME = readdirSync(folderOf("."))[0];

/**
 * @param {string[]} given
 * @returns {Promise<{code: unknown, stderr: string}>}
 */
const generate = (given) =>
  new Promise((resolve) => {
    execFile(process.execPath, ["generate.js", ...given], { cwd: folderOf("..") }, (error, _, stderr) =>
      resolve({ code: error ? error.code : 0, stderr }),
    );
  });

test("the program that writes text tells errors and usage by its exit status", async () => {
  assert.equal((await generate([NAME, "x"])).code, 2);
  assert.match((await generate([NAME, "", "3", "1"])).stderr, /^error: expected .*, got /);
  assert.match((await generate([NAME, "a", "x", "1"])).stderr, /^error: LENGTH: expected an integer, got x/);
});
