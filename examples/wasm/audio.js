/** Models as nodes of a graph of the Web Audio API; worklet.js beside this file is what runs there. */
const CHANNELS = 32; // that a node has at the most
const RATE = 48000;

/** Whether a model takes and gives numbers of every time step: samples, one a channel. */
export function isAudio({ signature: { inputs, outputs } }) {
  return [inputs, outputs].every((specs) => {
    const [{ dtype, shape }] = specs;
    const [time, batch, channels] = shape;
    return specs.length === 1 && dtype === "float32" && time === "time" && batch === "batch" && channels <= CHANNELS;
  });
}

/** Give the options of an AudioWorkletNode; `state` is what it begins with, the initial state without. */
export function optionsFor({ module, signature: { inputs, outputs } }, state) {
  return {
    processorOptions: { module, state },
    outputChannelCount: [outputs[0].shape.at(-1)],
    channelCount: inputs[0].shape.at(-1),
    channelCountMode: "explicit",
    channelInterpretation: "discrete",
  };
}

/**
 * Run a sequence through a node, faster than it could be heard.
 * @param {object} model
 * @param {Float32Array} inputs [steps, 1, channels]
 * @param {Array} [state] that it begins with
 * @returns {Promise<Float32Array>} [steps, 1, channels]
 */
export async function render(model, inputs, state) {
  const [taken, given] = [model.signature.inputs[0].shape.at(-1), model.signature.outputs[0].shape.at(-1)];
  const steps = inputs.length / taken;
  const context = new OfflineAudioContext(given, steps, RATE);
  await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "recurrent", optionsFor(model, state));
  const buffer = context.createBuffer(taken, steps, RATE);
  for (let c = 0; c < taken; c++) buffer.getChannelData(c).forEach((_, t, all) => (all[t] = inputs[t * taken + c]));
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  const outputs = new Float32Array(steps * given);
  for (let c = 0; c < given; c++) rendered.getChannelData(c).forEach((y, t) => (outputs[t * given + c] = y));
  return outputs;
}
