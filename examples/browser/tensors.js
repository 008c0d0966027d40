/** What a call takes and gives, as the signature of a bundle says; nothing here knows how a model is run. */

/** The typed array of each dtype: token ids are int64, as a rule; truth values are 0 and 1. */
export const ARRAYS = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };

export const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

/** Give the sizes of a tensor; `sizes` has those that a call may choose: `time`, `batch`, others. */
export function sizesOf(spec, sizes) {
  return spec.shape.map((size) => (typeof size === "number" ? size : sizes[size]));
}

/** Give the number of values of a tensor. */
export function countOf(spec, sizes) {
  let count = 1;
  for (const size of spec.shape) count *= typeof size === "number" ? size : sizes[size];
  return count;
}

/** Give arrays by name, of which one that is alone needs none. */
export function byName(specs, given) {
  const isObject = Object.getPrototypeOf(given ?? 0) === Object.prototype;
  if (!isObject && specs.length === 1) return { [specs[0].name]: given };
  const names = specs.map(({ name }) => name);
  const got = isObject ? Object.keys(given) : [];
  if (got.length === names.length && names.every((name) => got.includes(name))) return given;
  const came = isObject ? got.join(", ") || "none" : given?.constructor?.name;
  throw new TypeError(`expected an object of arrays called ${names.join(", ")}, got ${came}`);
}

/** Give the array itself where there is one, else all by name. */
export function alone(arrays) {
  const all = Object.values(arrays);
  return all.length === 1 ? all[0] : arrays;
}

/** Make zeros for one time step, by name; sizes that are free, and not the batch, are 1. */
export function zerosOf(specs, batch) {
  const of = ({ shape }) => product(shape.map((size) => (size === "batch" ? batch : typeof size === "number" ? size : 1)));
  return Object.fromEntries(specs.map((spec) => [spec.name, new ARRAYS[spec.dtype](of(spec))]));
}

/** Give the sizes of a call: those that are not time or batch follow from how many values there are. */
export function sizesOfCall(specs, inputs, steps, batch) {
  const sizes = { time: steps, batch };
  for (const spec of specs) {
    const free = spec.shape.find((size) => typeof size === "string" && !(size in sizes));
    if (!free) continue;
    const others = countOf(spec, { ...sizes, [free]: 1 });
    sizes[free] = Math.max(1, Math.floor(inputs[spec.name]?.length / others));
  }
  return sizes;
}

export function checkCount(what, count) {
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`expected 1 or more ${what}, got ${count}`);
}

export function checkValues(spec, values, sizes) {
  const expected = ARRAYS[spec.dtype];
  if (!(values instanceof expected)) {
    throw new TypeError(`${spec.name}: expected a ${expected.name}, got ${values?.constructor?.name}`);
  }
  const count = countOf(spec, sizes);
  if (values.length !== count) {
    throw new RangeError(`${spec.name}: expected ${count} values [${sizesOf(spec, sizes)}], got ${values.length}`);
  }
  const wrong = spec.dtype === "bool" ? values.findIndex((value) => value > 1) : -1;
  if (wrong >= 0) throw new RangeError(`${spec.name}[${wrong}]: expected 0 or 1, got ${values[wrong]}`);
}

/** Refuse token ids that are not in the vocabulary: a runtime may give something for them. */
export function checkTokens({ name, vocabulary }, values) {
  if (vocabulary === undefined) return;
  const at = values.findIndex((id) => id < 0 || id >= vocabulary);
  if (at < 0) return;
  throw new RangeError(`${name}[${at}]: expected a token id from 0 to ${vocabulary - 1}, got ${values[at]}`);
}

export function checkState(leaves, state, batch) {
  if (state.length !== leaves.length) {
    throw new RangeError(`state: expected ${leaves.length} leaves, got ${state.length}`);
  }
  leaves.forEach((leaf, i) => checkValues(leaf, state[i], { batch }));
}

/** Refuse a model that cannot be streamed, or has tensors of another dtype. */
export function checkSignature(where, { inputs, state, outputs, streamable, lengths }) {
  if (!streamable || lengths) {
    throw new Error(`${where}: expected a streamable model without lengths: export it so`);
  }
  for (const { name, dtype } of [...inputs, ...state, ...outputs]) {
    if (!ARRAYS[dtype]) throw new Error(`${where}: ${name}: expected float32, int64 or bool, got ${dtype}`);
  }
}
