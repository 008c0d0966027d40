/**
 * The log: lines of JSON on stderr, from Fastify's own logger, pino.
 *
 * @module
 */

/** What Fastify makes its logger of; of itself Fastify tells only what it warns of. */
export const LOGGER = {
  level: "warn",
  stream: process.stderr,
  base: null,
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (/** @type {string} */ label) => ({ level: label }) },
};

/**
 * Tell of a request, but nothing of what it holds.
 * @param {import("fastify").FastifyRequest} request
 * @param {import("fastify").FastifyReply} reply
 * @param {string} [sequenceId] of the session that it was about
 */
export function lineOf({ method, url, body }, reply, sequenceId) {
  const sent = method === "HEAD" ? 0 : Number(reply.getHeader("content-length") ?? 0);
  return {
    event: "request",
    method,
    path: url.split("?")[0],
    status: reply.statusCode,
    milliseconds: Math.round(reply.elapsedTime * 1000) / 1000,
    bytes_in: Buffer.isBuffer(body) ? body.length : 0,
    bytes_out: sent,
    ...(sequenceId === undefined ? {} : { sequence_id: sequenceId }),
  };
}

/**
 * Tell of what was no HTTP, so that there is no request.
 * @param {number} status
 * @param {number} size of the answer, in bytes
 */
export function lineOfNone(status, size) {
  return { event: "request", method: "", path: "", status, milliseconds: 0, bytes_in: 0, bytes_out: size };
}
