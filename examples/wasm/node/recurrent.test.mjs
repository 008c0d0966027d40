/** What the adapter promises, of each model in build/site: node --test node/ */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { load, Model } from "../recurrent.js";
import { alone, byName, zerosOf } from "../tensors.js";

const MODELS = join(dirname(fileURLToPath(import.meta.url)), "../build/site/models");
const NAMES = JSON.parse(readFileSync(join(MODELS, "index.json"), "utf8")).map(({ name }) => name);
const STEPS = 5;

/** Make up inputs for some time steps; whole numbers and truth values are 0 and 1. */
function inputsOf({ signature: { inputs } }, batch, seed) {
  const values = zerosOf(inputs, batch);
  for (const [i, { name, dtype }] of inputs.entries()) {
    const draw = (k) => Math.sin(12.9898 * (k + 1) + seed + i);
    const of = { float32: draw, int64: (k) => BigInt(draw(k) > 0), bool: (k) => Number(draw(k) > 0) };
    values[name].forEach((_, k) => (values[name][k] = of[dtype](k)));
  }
  return alone(values);
}

/** Copy outputs, which the next call writes over. */
const kept = (model, outputs) => Object.values(byName(model.signature.outputs, outputs)).map((values) => values.slice());

for (const name of NAMES) {
  const file = join(MODELS, name, "model.wasm");
  const model = await Model.load(file);

  test(`${name}: streams in turns give what each gives alone`, () => {
    const alone = [1, 3].map((batch, i) => {
      const session = model.session(batch);
      return Array.from({ length: STEPS }, (_, t) => kept(model, session.step(inputsOf(model, batch, t + 10 * i))));
    });
    const sessions = [model.session(1), model.session(3)];
    for (let t = 0; t < STEPS; t++) {
      sessions.forEach((session, i) => {
        const inputs = inputsOf(model, session.batch, t + 10 * i);
        assert.deepEqual(kept(model, session.step(inputs)), alone[i][t]);
        model.run(inputsOf(model, 7, t), 1, 7); // a call beside them, for which the memory may grow
      });
    }
  });

  test(`${name}: a state is a copy, and a stream goes on from it`, () => {
    const session = model.session(2);
    session.step(inputsOf(model, 2, 1));
    const state = session.state;
    const next = kept(model, session.step(inputsOf(model, 2, 2)));
    assert.notDeepEqual(session.state, state);
    session.reset(state);
    assert.deepEqual(session.state, state);
    assert.deepEqual(kept(model, session.step(inputsOf(model, 2, 2))), next);
    session.reset();
    assert.deepEqual(session.state, model.initialState(2));
  });

  test(`${name}: what is refused changes nothing`, () => {
    const session = model.session();
    session.step(inputsOf(model, 1, 1));
    const before = session.state;
    assert.throws(() => session.step(inputsOf(model, 2, 1)), RangeError);
    assert.throws(() => session.step(alone(Object.fromEntries(model.signature.inputs.map((spec) => [spec.name, [1]])))), TypeError);
    assert.throws(() => session.step(inputsOf(model, 1, 1), 0), /expected 1 or more time steps, got 0/);
    for (const { name: input, vocabulary } of model.signature.inputs) {
      for (const id of vocabulary === undefined ? [] : [-1n, BigInt(vocabulary)]) {
        const inputs = { ...model.zeros(), [input]: BigInt64Array.of(id) };
        const words = `${input}[0]: expected a token id from 0 to ${vocabulary - 1}, got ${id}`;
        assert.throws(() => session.step(alone(inputs)), { name: "RangeError", message: words });
      }
    }
    assert.throws(() => session.reset(model.initialState(2)), RangeError);
    assert.deepEqual(session.state, before);
  });

  test(`${name}: a file is loaded by its path or by its bytes`, async () => {
    const inputs = inputsOf(model, 1, 1);
    const [one, other] = [await load(file), await load(readFileSync(file))];
    assert.deepEqual(kept(model, one.step(inputs)), kept(model, other.step(inputs)));
  });
}

test("what is no model is refused", async () => {
  await assert.rejects(Model.load(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)), /without a section "rnn_export"/);
});
