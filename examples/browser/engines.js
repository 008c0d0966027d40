/** What can run a model here. Each is loaded when it is first asked for: ONNX Runtime Web is 14 MB. */
export const ENGINES = {
  wasm: {
    title: "model.c as WebAssembly",
    load: async (folder) => (await import("./recurrent.js")).Model.load(new URL("model.wasm", folder)),
  },
  "onnxruntime-web": {
    title: "model.onnx in ONNX Runtime Web",
    load: async (folder) => (await import("./onnxruntime.js")).Model.load(folder),
  },
};

/** Name the engines that have a file of a model, the default first; build.mjs says which models were compiled. */
export function enginesOf({ wasm }) {
  return Object.keys(ENGINES).filter((engine) => engine !== "wasm" || wasm);
}

/** Load a model of models/ in an engine. */
export function load(name, engine) {
  return ENGINES[engine].load(new URL(`models/${name}/`, document.baseURI));
}
