/** What the page streams, a text or random numbers; nothing here knows how a model is run. */

/**
 * Make a function that draws uniform numbers in [0, 1), the same in every language.
 * Source: Tommy Ettinger's mulberry32, public domain.
 */
export function mulberry32(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draw a token from the softmax of the logits, by where `uniform` falls in its sum. */
export function choose(logits, temperature, uniform) {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const largest = scaled.reduce((one, other) => Math.max(one, other));
  let sum = 0;
  const cumulative = scaled.map((value) => (sum += Math.exp(value - largest)));
  const token = cumulative.findIndex((below) => below > uniform * sum);
  return token < 0 ? cumulative.length - 1 : token; // rounding may put a number at the very end
}

/** Give the token id of each character, or throw an error that names those the model does not know. */
export function tokensOf(text, vocabulary) {
  const characters = Array.from(text);
  const unknown = new Set(characters.filter((character) => !vocabulary.includes(character)));
  if (unknown.size) throw new RangeError(`The model does not know ${[...unknown].join(" ")}`);
  if (!characters.length) throw new RangeError("The model needs one or more characters to begin with");
  return characters.map((character) => vocabulary.indexOf(character));
}

/** Continues a text: reads a prompt, then draws each character from the one before and the state. */
export class Writer {
  #session;
  #vocabulary;
  #prompt;
  #uniform;
  #logits;

  /**
   * @param session streams one row: `step(BigInt64Array)` gives a promise of the logits
   * @param {string[]} vocabulary the character of each token id
   * @param {string} prompt what the text begins with
   * @param {number} seed another seed, another text
   */
  constructor(session, vocabulary, prompt, seed) {
    this.#session = session;
    this.#vocabulary = vocabulary;
    this.#prompt = tokensOf(prompt, vocabulary);
    this.#uniform = mulberry32(seed);
  }

  /** Run one time step: the next character of the prompt, and behind its end one that is drawn. */
  async next(temperature) {
    const given = this.#prompt.length > 0;
    const token = given ? this.#prompt.shift() : choose(this.#logits, temperature, this.#uniform());
    this.#logits = await this.#session.step(BigInt64Array.of(BigInt(token)));
    const character = this.#vocabulary[token];
    return { given, label: character, text: character };
  }
}

/** Feeds random numbers in [-1, 1) to a model that is not one of text; its ids and truth values stay zero. */
export class Noise {
  #session;
  #inputs;
  #uniform;

  /**
   * @param session streams one row: `step` takes an array by each name and gives a promise of the outputs
   * @param {Record<string, Float32Array | BigInt64Array | Uint8Array>} inputs room for what a time step takes
   * @param {number} seed other numbers
   */
  constructor(session, inputs, seed) {
    this.#session = session;
    this.#inputs = inputs;
    this.#uniform = mulberry32(seed);
  }

  /** Run one time step: a line of outputs. */
  async next() {
    for (const values of Object.values(this.#inputs)) {
      if (values instanceof Float32Array) values.forEach((_, i) => (values[i] = 2 * this.#uniform() - 1));
    }
    const got = await this.#session.step(this.#inputs);
    const outputs = ArrayBuffer.isView(got) ? [got] : Object.values(got);
    const numbers = outputs.flatMap((values) => Array.from(values, (value) => Number(value).toFixed(6).padStart(10)));
    return { given: false, label: "", text: `${numbers.join("")}\n` };
  }
}
