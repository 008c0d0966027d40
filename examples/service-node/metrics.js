/**
 * What Prometheus is told.
 *
 * @module
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/** @typedef {ReturnType<typeof createMetrics>} Metrics */

/**
 * @param {string[]} models their names
 * @param {(model: string) => number} sessions counts those of a model
 */
export function createMetrics(models, sessions) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "rnn_requests_total",
    help: "Requests that were answered; without a model: those of the server.",
    labelNames: ["model", "code"],
    registers,
  });
  const seconds = new Histogram({
    name: "rnn_request_seconds",
    help: "Seconds from the head of an infer request to its answer.",
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const steps = new Counter({
    name: "rnn_steps_total",
    help: "Time steps that were computed, of all rows.",
    labelNames: ["model"],
    registers,
  });
  new Gauge({
    name: "rnn_sessions",
    help: "Sessions that are kept.",
    labelNames: ["model"],
    registers,
    collect() {
      for (const model of models) this.set({ model }, sessions(model));
    },
  });
  const expired = new Counter({
    name: "rnn_sessions_expired_total",
    help: "Sessions that nobody fed for too long.",
    labelNames: ["model"],
    registers,
  });
  const rejected = new Counter({
    name: "rnn_sessions_rejected_total",
    help: "Sessions that were one too many.",
    registers,
  });
  for (const model of models) for (const counter of [steps, expired]) counter.inc({ model }, 0); // there from the start
  return { registry, requests, seconds, steps, expired, rejected };
}
