/**
 * Sessions: a bounded table of states, each fed in the order in which requests arrive.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";

import { ServiceError, show } from "./errors.js";

/** @typedef {import("./recurrent.js").State} State */
/**
 * @typedef {object} Session one row of a model
 * @property {State} state
 * @property {number} steps all that it was fed
 * @property {number} created in seconds of the table's clock
 */
/**
 * @typedef {object} Slot what requests for an id queue at; it outlives its session while some wait
 * @property {string} model
 * @property {string} id
 * @property {Session | null} session
 * @property {number} used in seconds of the table's clock
 * @property {number} waiting requests, with the one that is answered
 * @property {Promise<unknown>} last of them
 */
/** @typedef {{model: string, id: string, state: State, steps: number, age: number, idle: number}} Saved seconds */

/** All sessions of all models. */
export class Sessions {
  /** @type {Map<string, Slot>} those used longest ago first */
  #slots = new Map();
  #taken = 0; // sessions, and requests that are about to begin one
  #limit;
  #idleSeconds;
  #events;
  #now;

  /**
   * @param {object} options
   * @param {number} options.limit how many sessions there may be
   * @param {number} options.idleSeconds how long one is kept that nobody feeds
   * @param {{expired(model: string): void, rejected(): void}} [options.events] what is called for each
   * @param {() => number} [options.now] a clock, in seconds
   */
  constructor({ limit, idleSeconds, events = { expired() {}, rejected() {} }, now = () => performance.now() / 1000 }) {
    this.#limit = limit;
    this.#idleSeconds = idleSeconds;
    this.#events = events;
    this.#now = now;
  }

  /**
   * Count the sessions of a model.
   * @param {string} model
   */
  count(model) {
    let count = 0;
    for (const slot of this.#slots.values()) if (slot.session && slot.model === model) count++;
    return count;
  }

  /**
   * Begin a session under an id that nobody guesses.
   * @param {string} model
   * @param {State} state
   * @returns {string} the id
   * @throws {ServiceError} with status 429 if there are as many as may be
   */
  create(model, state) {
    this.sweep();
    this.#reserve();
    const slot = this.#slot(model, randomBytes(16).toString("hex"));
    slot.session = { state, steps: 0, created: this.#now() };
    return slot.id;
  }

  /**
   * Feed a session, when the requests before have been answered. It changes only if all went well.
   * @template T
   * @param {string} model
   * @param {import("./protocol.js").Sequence} sequence
   * @param {() => State} initial the state of one that begins
   * @param {(state: State, steps: number) => Promise<{state: State, steps: number, answer: T}>} run
   * @returns {Promise<T>}
   * @throws {ServiceError} with status 404 or 429; or what `run` throws
   */
  feed(model, { id, start, end }, initial, run) {
    return this.#turn(model, id, start, async (slot) => {
      if (!slot.session && !start) throw unknown(model, id);
      const isNew = !slot.session;
      if (isNew) this.#reserve();
      try {
        const before = start || !slot.session ? { state: initial(), steps: 0, created: this.#now() } : slot.session;
        const { state, steps, answer } = await run(before.state, before.steps);
        slot.session = { state, steps, created: before.created };
        this.#touch(slot);
        if (end) this.#end(slot);
        return answer;
      } catch (error) {
        if (isNew) this.#taken--;
        throw error;
      }
    });
  }

  /**
   * Tell how long a session has been there, when the requests before have been answered.
   * @param {string} model
   * @param {string} id
   * @returns {Promise<{steps: number, age_seconds: number, idle_seconds: number}>}
   * @throws {ServiceError} with status 404
   */
  inspect(model, id) {
    return this.#turn(model, id, false, async ({ session, used }) => {
      if (!session) throw unknown(model, id);
      const now = this.#now();
      return { steps: session.steps, age_seconds: now - session.created, idle_seconds: now - used };
    });
  }

  /**
   * End a session, when the requests before have been answered.
   * @param {string} model
   * @param {string} id
   * @throws {ServiceError} with status 404
   */
  remove(model, id) {
    return this.#turn(model, id, false, async (slot) => {
      if (!slot.session) throw unknown(model, id);
      this.#end(slot);
    });
  }

  /** End the sessions that nobody fed for too long. */
  sweep() {
    const oldest = this.#now() - this.#idleSeconds;
    for (const [key, slot] of this.#slots) {
      if (slot.waiting) continue; // they came in time
      if (slot.used >= oldest) return;
      this.#slots.delete(key);
      this.#end(slot);
      this.#events.expired(slot.model);
    }
  }

  /**
   * List the sessions, those used longest ago first.
   * @returns {Generator<Saved>}
   */
  *dump() {
    const now = this.#now();
    for (const { model, id, session, used } of this.#slots.values()) {
      if (session)
        yield { model, id, state: session.state, steps: session.steps, age: now - session.created, idle: now - used };
    }
  }

  /**
   * Take up sessions that were saved; of too many, those used last.
   * @param {Saved[]} saved
   * @returns {number} how many were taken up
   */
  restore(saved) {
    const now = this.#now();
    const kept = saved.toSorted((one, other) => other.idle - one.idle).slice(-this.#limit);
    for (const { model, id, state, steps, age, idle } of kept) {
      this.#reserve();
      const slot = this.#slot(model, id);
      slot.session = { state, steps, created: now - age };
      slot.used = now - idle;
    }
    return kept.length;
  }

  /**
   * Run a task when those before it for the same session have ended, however they did.
   * @template T
   * @param {string} model
   * @param {string} id
   * @param {boolean} start whether it may begin a session
   * @param {(slot: Slot) => Promise<T>} task
   * @returns {Promise<T>}
   */
  async #turn(model, id, start, task) {
    this.sweep();
    const slot = this.#slots.get(keyOf(model, id)) ?? (start ? this.#slot(model, id) : null);
    if (!slot) throw unknown(model, id);
    slot.waiting++;
    const result = slot.last.then(() => task(slot));
    slot.last = result.catch(() => {});
    try {
      return await result;
    } finally {
      slot.waiting--;
      if (!slot.waiting && !slot.session) this.#slots.delete(keyOf(model, id));
    }
  }

  /**
   * @param {string} model
   * @param {string} id
   * @returns {Slot}
   */
  #slot(model, id) {
    const slot = { model, id, session: null, used: this.#now(), waiting: 0, last: Promise.resolve() };
    this.#slots.set(keyOf(model, id), slot);
    return slot;
  }

  #reserve() {
    if (this.#taken >= this.#limit) {
      this.#events.rejected();
      throw new ServiceError(
        429,
        `expected at most ${this.#limit} sessions, got one more: end some, or try again later`,
      );
    }
    this.#taken++;
  }

  /** @param {Slot} slot */
  #touch(slot) {
    slot.used = this.#now();
    this.#slots.delete(keyOf(slot.model, slot.id));
    this.#slots.set(keyOf(slot.model, slot.id), slot);
  }

  /** @param {Slot} slot */
  #end(slot) {
    slot.session = null;
    this.#taken--;
  }
}

/**
 * @param {string} model
 * @param {string} id
 */
function keyOf(model, id) {
  return `${model}/${id}`; // a folder's name has no slash
}

/**
 * @param {string} model
 * @param {string} id
 */
function unknown(model, id) {
  return new ServiceError(
    404,
    `expected a session of ${model}, got ${show(id)}: begin one; it may have ended or expired`,
  );
}
