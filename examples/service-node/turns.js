/**
 * Long sequences in pieces, so that others get their turn: ONNX Runtime computes on the thread that answers.
 *
 * @module
 */
import { countOf } from "./recurrent.js";
import { placeSteps, takeSteps } from "./slices.js";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("./recurrent.js").Values} Values */
/** @typedef {import("./recurrent.js").State} State */

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
 * @param {Values} inputs
 * @param {number} steps
 * @param {number} batch
 * @param {State} [state]
 * @param {number} [most] time steps at once
 * @returns {Promise<{outputs: Float32Array, state: State}>}
 */
export async function runInTurns(model, inputs, steps, batch, state, most = stepsAtOnce(model, batch)) {
  if (steps <= most) return model.run(inputs, steps, batch, state);
  model.checkTokens(inputs); // all of them: a place in a piece would mislead
  const { inputs: taken, outputs: given } = model.signature;
  const outputs = new Float32Array(countOf(given, steps, batch));
  for (let from = 0; from < steps; from += most) {
    const count = Math.min(most, steps - from);
    const result = await model.run(takeSteps(taken, inputs, steps, batch, from, count), count, batch, state);
    placeSteps(given, result.outputs, outputs, steps, batch, from);
    state = result.state;
  }
  return { outputs, state: /** @type {State} */ (state) };
}
