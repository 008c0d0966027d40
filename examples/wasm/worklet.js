/**
 * A model in an AudioWorklet: its inputs are the channels of the node's input, its outputs those of the node's output.
 *
 *     await context.audioWorklet.addModule("worklet.js");
 *     const node = new AudioWorkletNode(context, "recurrent", optionsFor(model)); // of audio.js
 *
 * The state is kept from one block of 128 frames to the next. Nothing is allocated for a block.
 */
import { Model } from "./recurrent.js";

const FRAMES = 128; // of a block, as the Web Audio API has them today

class Recurrent extends AudioWorkletProcessor {
  #session;
  #inputs = new Float32Array();
  #width;

  /** @param {{processorOptions: {module: WebAssembly.Module, state?: Array}}} options `state`: the first one */
  constructor({ processorOptions: { module, state } }) {
    super();
    const model = new Model(module);
    this.#session = model.session();
    if (state) this.#session.reset(state);
    this.#width = model.signature.inputs[0].shape.at(-1);
    this.#inputs = new Float32Array(FRAMES * this.#width);
  }

  process([given], [outputs]) {
    const frames = outputs[0].length;
    const width = this.#width;
    if (this.#inputs.length !== frames * width) this.#inputs = new Float32Array(frames * width);
    this.#inputs.fill(0); // of channels that nothing is connected to
    given.slice(0, width).forEach((channel, c) => channel.forEach((x, t) => (this.#inputs[t * width + c] = x)));
    const results = this.#session.step(this.#inputs, frames);
    outputs.forEach((channel, c) => channel.forEach((_, t) => (channel[t] = results[t * outputs.length + c])));
    return true;
  }
}

registerProcessor("recurrent", Recurrent);
