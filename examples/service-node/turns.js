/**
 * Long sequences in pieces, so that others get their turn: ONNX Runtime computes on the thread that answers.
 *
 * @module
 */
import { alone, byName, countOf } from "./recurrent.js";
import { placeSteps, takeSteps } from "./slices.js";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("./recurrent.js").Inputs} Inputs */
/** @typedef {import("./recurrent.js").Outputs} Outputs */
/** @typedef {import("./recurrent.js").State} State */

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };
const PRODUCTS = 4e7; // of weights and numbers in a piece: some milliseconds
const MOST_STEPS = 2048; // of a model so small that what is around its products takes longer

/**
 * Tell how many time steps are run at once.
 * @param {Model} model
 * @param {number} batch
 */
export function stepsAtOnce(model, batch) {
  const weights = model.manifest.files["model.onnx"].bytes / 4;
  return Math.max(1, Math.floor(Math.min(MOST_STEPS, PRODUCTS / weights) / batch));
}

/**
 * Run whole sequences as `Model.run` does, the state handed on from piece to piece.
 * @param {Model} model
 * @param {Inputs} inputs
 * @param {number} steps
 * @param {number} batch
 * @param {State} [state]
 * @param {number} [most] time steps at once
 * @returns {Promise<{outputs: Outputs, state: State}>}
 */
export async function runInTurns(model, inputs, steps, batch, state, most = stepsAtOnce(model, batch)) {
  const { inputs: taken, outputs: given } = model.signature;
  const all = byName(taken, inputs);
  if (steps <= most) return model.run(alone(all), steps, batch, state);
  const sizes = model.sizes(all, steps, batch);
  model.checkTokens(all); // before the first piece: a place in a piece would mislead
  const outputs = Object.fromEntries(given.map((spec) => [spec.name, new ARRAYS[spec.dtype](countOf(spec, sizes))]));
  for (let from = 0; from < steps; from += most) {
    const count = Math.min(most, steps - from);
    const piece = taken.map((spec) => [spec.name, takeSteps(spec, all[spec.name], sizes, from, count)]);
    const result = await model.run(alone(Object.fromEntries(piece)), count, batch, state);
    const some = byName(given, result.outputs);
    for (const spec of given) placeSteps(spec, some[spec.name], outputs[spec.name], sizes, from);
    state = result.state;
  }
  return { outputs: alone(outputs), state: /** @type {State} */ (state) };
}
