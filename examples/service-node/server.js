/**
 * The routes: health, metadata, infer, sessions and metrics.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { setImmediate as others } from "node:timers/promises"; // bodies that came before are read first

import fastify from "fastify";

import { ServiceError, show } from "./errors.js";
import { LOGGER, lineOf, lineOfNone } from "./log.js";
import { createMetrics } from "./metrics.js";
import { PAGE, describeApi } from "./openapi.js";
import { formatAnswer, metadata, parseCall } from "./protocol.js";
import { Sessions } from "./sessions.js";
import { runInTurns } from "./turns.js";

/** @typedef {import("./recurrent.js").Model} Model */
/** @typedef {import("fastify").FastifyInstance} App */
/** @typedef {import("fastify").FastifyRequest<{Params: {name: string, version?: string, id: string}}>} Request */
/** @typedef {import("fastify").FastifyReply} Reply */
/** @typedef {(request: Request, reply: Reply) => unknown} Handler */

const { name: NAME, version: VERSION } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const UPLOAD_SECONDS = 60;

/** The service, without what listens: `app` is Fastify's. */
export class Service {
  #models;
  #metrics;
  #maxBody;
  #stopping = false;
  #inFlight = 0;
  #log;
  #logsRequests;
  /** @type {WeakMap<import("fastify").FastifyRequest, string>} of requests that feed or begin one */
  #sequenceIds = new WeakMap();
  requests = 0; // that were answered

  /**
   * @param {object} options
   * @param {Map<string, Model>} options.models by name
   * @param {number} [options.maxSessions]
   * @param {number} [options.idleSeconds]
   * @param {number} [options.maxBody] in bytes, also of an answer's numbers
   * @param {boolean} [options.log] a line for each request
   * @param {() => number} [options.now] the sessions' clock, in seconds
   */
  constructor({ models, maxSessions = 10000, idleSeconds = 600, maxBody = 4194304, log = false, now }) {
    this.#models = models;
    this.#maxBody = maxBody;
    const events = {
      expired: (/** @type {string} */ model) => this.#metrics.expired.inc({ model }),
      rejected: () => this.#metrics.rejected.inc(),
    };
    this.sessions = new Sessions({ limit: maxSessions, idleSeconds, events, now });
    this.#metrics = createMetrics([...models.keys()], (model) => this.sessions.count(model));
    this.app = createApp(maxBody, (line) => this.#answered(line));
    this.#log = this.app.log.child({}, { level: "info" });
    this.#logsRequests = log;
    this.#count();
    this.#routes();
    const timer = setInterval(() => this.sessions.sweep(), 1000).unref();
    this.app.addHook("onClose", async () => clearInterval(timer));
  }

  /**
   * Log the start: what is served, and where.
   * @param {string} address
   */
  logStart(address) {
    const models = [...this.#models].map(([name, { manifest }]) => {
      return { name, version: "1", sha256: manifest.files["model.onnx"].sha256 };
    });
    this.#log.info({ event: "start", service: NAME, address, models });
  }

  /**
   * Log the stop.
   * @param {string} reason
   */
  logStop(reason) {
    this.#log.info({ event: "stop", reason, requests: this.requests });
  }

  /** @param {object} line of a request that was answered */
  #answered(line) {
    this.requests++;
    if (this.#logsRequests) this.#log.info(line);
  }

  /**
   * Answer what is in flight, nothing that comes later, and close all connections.
   * @param {number} [seconds] how long to wait for clients that do not send or read on
   */
  async stop(seconds = 30) {
    this.#stopping = true;
    const { server } = this.app;
    const closed = this.app.close();
    const began = Date.now();
    while (this.#inFlight && Date.now() - began < seconds * 1000)
      await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 10)); // what was answered last is on its way
    server.closeAllConnections(); // also those that never asked for anything
    await closed;
  }

  /** Count what is in flight and what was answered, and answer nothing new once it stops. */
  #count() {
    this.app.addHook("onRequest", async (request, reply) => {
      this.#inFlight++;
      reply.raw.once("close", () => this.#inFlight--); // answered, or its client has gone
      const open = ["/v2/health/live", "/metrics"].includes(request.routeOptions.url ?? "");
      if (this.#stopping && !open)
        throw new ServiceError(503, "expected a server that runs, got one that stops: ask another");
    });
    this.app.addHook("onSend", async (request, reply) => {
      if (this.#stopping) reply.header("connection", "close");
    });
    this.app.addHook("onResponse", async (request, reply) => {
      const { name = "", id } = /** @type {any} */ (request.params ?? {});
      this.#answered(lineOf(request, reply, this.#sequenceIds.get(request) ?? id));
      const model = this.#models.has(name) ? name : "";
      this.#metrics.requests.inc({ model, code: reply.statusCode });
      if (request.routeOptions.url?.endsWith("/infer")) this.#metrics.seconds.observe(reply.elapsedTime / 1000);
    });
  }

  #routes() {
    const { app } = this;
    const api = describeApi(this.#models);
    route(app, "/", { GET: (_, reply) => reply.type("text/html; charset=utf-8").send(PAGE) });
    route(app, "/openapi.json", { GET: () => api });
    route(app, "/v2", {
      GET: () => ({ name: NAME, version: VERSION, extensions: ["binary_tensor_data", "sequence"] }),
    });
    route(app, "/v2/health/live", { GET: () => ({ live: true }) });
    route(app, "/v2/health/ready", { GET: () => ({ ready: true }) });
    route(app, "/metrics", { GET: (_, reply) => this.#sendMetrics(reply) });
    for (const path of ["/v2/models/:name", "/v2/models/:name/versions/:version"]) {
      route(app, path, { GET: (request) => metadata(request.params.name, this.#model(request)) });
      route(app, `${path}/ready`, {
        GET: (request) => this.#model(request) && { name: request.params.name, ready: true },
      });
      route(app, `${path}/infer`, { POST: (request, reply) => this.#infer(request, reply) });
      route(app, `${path}/sessions`, { POST: (request, reply) => this.#create(request, reply) });
      route(app, `${path}/sessions/:id`, {
        GET: (request) => this.#inspect(request),
        DELETE: (request, reply) => this.#remove(request, reply),
      });
    }
  }

  /**
   * @param {Request} request
   * @returns {Model}
   */
  #model({ params: { name, version = "1" } }) {
    const model = this.#models.get(name);
    if (!model) {
      const names = [...this.#models.keys()].join(", ");
      throw new ServiceError(404, `expected a model of this server (${names}), got ${show(name)}: name one of them`);
    }
    if (version !== "1")
      throw new ServiceError(404, `expected version 1 of ${name}, got ${show(version)}: leave it out`);
    return model;
  }

  /** @param {Request} request @param {Reply} reply */
  async #infer(request, reply) {
    const { name } = request.params;
    const model = this.#model(request);
    const { "content-encoding": encoding = "identity" } = request.headers;
    if (encoding !== "identity")
      throw new ServiceError(415, `expected a body as it is, got ${show(encoding)}: do not compress`);
    const body = /** @type {Buffer} */ (request.body ?? Buffer.alloc(0));
    const call = parseCall(model, body, request.headers["inference-header-content-length"], this.#maxBody);
    if (call.sequence) this.#sequenceIds.set(request, call.sequence.id);
    const answer = await (call.sequence
      ? this.#feed(name, model, call, call.sequence)
      : this.#whole(name, model, call));
    this.#metrics.steps.inc({ model: name }, call.steps * call.batch);
    return reply.headers(answer.headers).send(answer.body);
  }

  /**
   * @param {string} name
   * @param {Model} model
   * @param {import("./protocol.js").Call} call
   */
  async #whole(name, model, call) {
    return formatAnswer(name, model, call, await compute(name, model, call, call.state));
  }

  /**
   * Feed a session: its state is what it was, unless the answer is there.
   * @param {string} name
   * @param {Model} model
   * @param {import("./protocol.js").Call} call
   * @param {import("./protocol.js").Sequence} sequence
   */
  async #feed(name, model, call, sequence) {
    return this.sessions.feed(
      name,
      sequence,
      () => model.initialState(),
      async (before, fed) => {
        const result = await compute(name, model, call, before);
        const steps = fed + call.steps;
        const answer = await formatAnswer(name, model, call, result, { sequence_id: sequence.id, steps });
        const state = result.state.map((values) => values.slice()); // ONNX Runtime's memory goes back to it
        return { state, steps, answer };
      },
    );
  }

  /** @param {Request} request @param {Reply} reply */
  async #create(request, reply) {
    const { name } = request.params;
    const id = this.sessions.create(name, this.#model(request).initialState());
    this.#sequenceIds.set(request, id);
    return reply.code(201).send({ sequence_id: id, model: name, steps: 0 });
  }

  /** @param {Request} request */
  async #inspect(request) {
    const { name, id } = request.params;
    this.#model(request);
    await others();
    return { sequence_id: id, model: name, ...(await this.sessions.inspect(name, id)) };
  }

  /** @param {Request} request @param {Reply} reply */
  async #remove(request, reply) {
    this.#model(request);
    await others();
    await this.sessions.remove(request.params.name, request.params.id);
    return reply.code(204).send();
  }

  /** @param {Reply} reply */
  async #sendMetrics(reply) {
    const { registry } = this.#metrics;
    return reply.header("content-type", registry.contentType).send(await registry.metrics());
  }
}

/**
 * @param {string} name
 * @param {Model} model
 * @param {import("./protocol.js").Call} call
 * @param {import("./recurrent.js").State} [state]
 * @throws {ServiceError} with status 400: what ONNX Runtime does not take, such as a token id that there is not
 */
async function compute(name, model, call, state) {
  try {
    return await runInTurns(model, call.inputs, call.steps, call.batch, state);
  } catch (error) {
    const got = error instanceof Error ? error.message : String(error);
    if (error instanceof RangeError) throw new ServiceError(400, `${got}: send another`);
    throw new ServiceError(400, `${name}: expected inputs that the model takes, got an error: ${got}`);
  }
}

/**
 * @param {number} maxBody
 * @param {(line: object) => void} answered is called for what no hook sees
 */
function createApp(maxBody, answered) {
  const app = fastify({
    logger: LOGGER,
    bodyLimit: maxBody,
    requestTimeout: UPLOAD_SECONDS * 1000,
    return503OnClosing: false, // the hook above does, in the protocol's form
    routerOptions: { maxParamLength: 2048 },
    frameworkErrors: (error, request, reply) => {
      reply.raw.once("close", () => answered(lineOf(request, reply)));
      sendError(error, maxBody, reply);
    },
    clientErrorHandler: (error, socket) => answerNoHttp(error, socket, answered),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
  app.setErrorHandler((error, _, reply) => sendError(/** @type {any} */ (error), maxBody, reply));
  app.setNotFoundHandler((request) => {
    throw new ServiceError(404, `expected a path of this server, got ${show(request.url)}: GET /v2/models/NAME is one`);
  });
  return app;
}

/**
 * Answer the methods of a path, and refuse the others.
 * @param {App} app
 * @param {string} url
 * @param {Record<string, Handler>} handlers
 */
function route(app, url, handlers) {
  const known = Object.keys(handlers);
  const allowed = known.includes("GET") ? [...known, "HEAD"] : known;
  for (const method of known) app.route({ method, url, handler: /** @type {any} */ (handlers[method]) });
  app.route({
    method: METHODS.filter((method) => !allowed.includes(method)),
    url,
    handler: (request, reply) => {
      reply.header("allow", allowed.join(", "));
      throw new ServiceError(405, `expected ${allowed.join(" or ")}, got ${request.method}: use one of them`);
    },
  });
}

/**
 * Answer an error in the protocol's form, Fastify's own too; one that is no client's is told on stderr alone.
 * @param {Error & {statusCode?: number, code?: string}} error
 * @param {number} maxBody
 * @param {Reply} reply
 */
function sendError(error, maxBody, reply) {
  const { statusCode = 500, code, message } = error;
  if (statusCode >= 500 && !(error instanceof ServiceError)) {
    console.error(error);
    return reply.code(500).send({ error: "expected an answer, got an error of the server: its log says which" });
  }
  if (error instanceof ServiceError) return reply.code(statusCode).send({ error: message });
  const texts = new Map([
    ["FST_ERR_CTP_BODY_TOO_LARGE", `expected a body of at most ${maxBody} bytes, got more: send the sequence in parts`],
    ["FST_ERR_BAD_URL", "expected an encoded path, got another: write a % as %25"],
  ]);
  return reply.code(statusCode).send({ error: texts.get(code ?? "") ?? `expected another request, got: ${message}` });
}

/**
 * Answer what is no HTTP.
 * @param {Error & {code?: string}} error
 * @param {import("node:net").Socket} socket
 * @param {(line: object) => void} answered
 */
function answerNoHttp({ code }, socket, answered) {
  if (code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const known = new Map([
    [
      "ERR_HTTP_REQUEST_TIMEOUT",
      `408 Request Timeout|expected a request within ${UPLOAD_SECONDS} seconds, got part of one`,
    ],
    ["HPE_HEADER_OVERFLOW", "431 Request Header Fields Too Large|expected shorter headers, got more than 16 KiB"],
  ]);
  const [status, text] = (known.get(code ?? "") ?? `400 Bad Request|expected HTTP, got something else (${code})`).split(
    "|",
  );
  const body = JSON.stringify({ error: `${text}: send it again` });
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  answered(lineOfNone(parseInt(status), Buffer.byteLength(body)));
  socket.end(`${head}Connection: close\r\n\r\n${body}`);
}
