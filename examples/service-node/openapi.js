/**
 * The description of the service in OpenAPI 3.1: openapi.json, with the models that are served.
 *
 * @module
 */
import { readFileSync } from "node:fs";

import { inputsOf, outputsOf } from "./protocol.js";
import { describe, parametersOf } from "./tensors.js";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("./tensors.js").Described} Described */

const MODEL = "{model}"; // in the text kept by hand, for the name of each
const TEXT = readFileSync(new URL("openapi.json", import.meta.url), "utf8");

/** A page that shows the description. */
export const PAGE = readFileSync(new URL("page.html", import.meta.url), "utf8");

/** @param {Map<string, Model>} models by name */
export function describeApi(models) {
  const api = JSON.parse(TEXT);
  const { components } = api;
  api.paths = expand(api.paths, [...models.keys()]);
  components.schemas = expand(components.schemas, [...models.keys()]);
  for (const [name, model] of models) {
    components.schemas[`${name}.input`] = anyOf(inputsOf(model));
    components.schemas[`${name}.output`] = anyOf(outputsOf(model));
  }
  return api;
}

/**
 * Put the entries of each model in the place of the one that is about any.
 * @param {Record<string, unknown>} entries
 * @param {string[]} names
 */
function expand(entries, names) {
  const all = Object.entries(entries);
  const ofModels = all.filter(([key]) => key.includes(MODEL));
  const expanded = all.filter(([key]) => !key.includes(MODEL));
  for (const name of names) expanded.push(...Object.entries(JSON.parse(replaced(Object.fromEntries(ofModels), name))));
  return Object.fromEntries(expanded);
}

/** @param {object} entries @param {string} name */
function replaced(entries, name) {
  return JSON.stringify(entries).replaceAll(MODEL, JSON.stringify(name).slice(1, -1));
}

/** @param {Described[]} specs */
function anyOf(specs) {
  return { anyOf: specs.map(tensorSchema) };
}

/**
 * Describe a tensor as a request or an answer has it: its name, datatype and shape are known.
 * @param {Described} spec
 */
function tensorSchema(spec) {
  const { name, datatype } = describe(spec);
  const names = spec.shape.map((size) => (typeof size === "number" || known(size) ? size : "any"));
  const axes = spec.shape.map((size, axis) =>
    typeof size === "number" ? { const: size } : { type: "integer", minimum: 1, title: names[axis] },
  );
  const shape = { type: "array", prefixItems: axes, minItems: axes.length, maxItems: axes.length };
  return {
    type: "object",
    title: name,
    description: `${parametersOf(spec).role}: ${datatype} [${names.join(", ")}]`,
    required: ["name", "datatype", "shape"],
    properties: {
      name: { const: name },
      datatype: { const: datatype },
      shape,
      data: { $ref: `#/components/schemas/${datatype}` },
      parameters: { type: "object" },
    },
  };
}

/** @param {string} size */
function known(size) {
  return size === "time" || size === "batch";
}
