/**
 * What a client did wrong, and how it is told.
 *
 * @module
 */

/** An error that is answered: `{"error": message}` with its status. Its message says what was expected, got, and to do. */
export class ServiceError extends Error {
  /**
   * @param {number} statusCode of HTTP
   * @param {string} message
   */
  constructor(statusCode, message) {
    super(message);
    this.statusCode = statusCode;
  }
}

/**
 * Write a value of a request in a few characters, whatever it is: it may be nested a million deep.
 * @param {unknown} value
 * @returns {string}
 */
export function show(value) {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value !== null && typeof value === "object") return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
