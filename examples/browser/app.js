/** The page: settings, a loop that runs steps between frames, and what it shows of them. */
import { Chart, gradients } from "./chart.js";
import { ENGINES, enginesOf, load } from "./engines.js";
import { Noise, tokensOf, Writer } from "./generate.js";

const PACES = [2, 5, 10, 20, 40, 80, 160, 320, Infinity]; // steps per second
const FRAME_MILLISECONDS = 8; // of each frame, for steps; the rest is for drawing
const CALM_MILLISECONDS = 1000; // between two drawings where motion is to be reduced
const FIGURES_MILLISECONDS = 300;

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const chart = new Chart($("chart"));
const loaded = new Map(); // the models that were chosen before, by name and engine
const listed = new Map(); // what index.json says of each model

let model, session, stream; // what is shown; no stream before the first step
let running = false;
let finished = Promise.resolve(); // settled when no step runs
let drawn = 0; // when the chart was

const nextFrame = () => new Promise(requestAnimationFrame);
const pace = () => PACES[$("pace").valueAsNumber];
const grouped = (number) => Math.round(number).toLocaleString("en");

function say(message, failed = false) {
  $("status").textContent = message;
  $("status").classList.toggle("problem", failed);
}

/** The floats of all leaves of a state, one after another. */
function unitsOf(state) {
  return Float32Array.from(state.filter((leaf) => leaf instanceof Float32Array).flatMap((leaf) => [...leaf]));
}

/** Counts steps and their time, and shows both now and then. */
class Figures {
  #since = performance.now();
  #steps = 0;
  #spent = 0;

  count(milliseconds) {
    this.#steps++;
    this.#spent += milliseconds;
  }

  show() {
    $("steps").textContent = grouped(chart.steps);
    const now = performance.now();
    if (!this.#steps || now - this.#since < FIGURES_MILLISECONDS) return;
    $("rate").textContent = grouped((1000 * this.#steps) / (now - this.#since));
    const cost = (1000 * this.#spent) / this.#steps;
    $("cost").textContent = cost < 10 ? cost.toFixed(1) : grouped(cost);
    [this.#since, this.#steps, this.#spent] = [now, 0, 0];
  }
}

/** Run one time step; give what it wrote. */
async function step(figures) {
  const start = performance.now();
  const written = await stream.next($("temperature").valueAsNumber);
  const milliseconds = performance.now() - start;
  chart.add(unitsOf(session.state), written.label, written.given);
  figures.count(milliseconds);
  return written;
}

function show(text, figures) {
  const box = $("text");
  $("given").append(text.given);
  $("written").append(text.written);
  box.scrollTop = box.scrollHeight;
  figures.show();
  if (calm.matches && performance.now() - drawn < CALM_MILLISECONDS) return;
  drawn = performance.now();
  chart.draw();
}

/** Run steps until `count` of them were not of the prompt, or someone stops it; give how many are left. */
async function advance(count) {
  const figures = new Figures();
  let before = await nextFrame();
  let due = 1;
  while (running && count > 0) {
    const now = await nextFrame();
    due = Math.min(due + (pace() * Math.max(now - before, 1)) / 1000, 1 + pace() / 10);
    before = now;
    const text = { given: "", written: "" };
    const end = performance.now() + FRAME_MILLISECONDS;
    for (; due >= 1 && running && count > 0 && performance.now() < end; due--) {
      const written = await step(figures);
      text[written.given ? "given" : "written"] += written.text;
      if (!written.given) count--;
    }
    show(text, figures);
  }
  return count;
}

function takesNumbers({ signature }) {
  return signature.inputs.some(({ dtype }) => dtype === "float32");
}

function enable() {
  const usable = model && (model.vocabulary || takesNumbers(model));
  $("write").disabled = !usable;
  $("write").formNoValidate = running; // stopping needs no valid settings
  $("write").textContent = running ? "Stop" : model?.vocabulary ? "Write" : "Run";
  $("more").disabled = running || !stream;
  document.body.classList.toggle("running", running);
  document.body.classList.toggle("empty", !stream);
}

async function run() {
  const count = $("length").valueAsNumber;
  const what = model.vocabulary ? "characters" : "steps";
  running = true;
  enable();
  say(`Running up to ${grouped(count)} ${what} …`);
  try {
    finished = advance(count);
    const left = await finished;
    say(left ? `Stopped after ${grouped(count - left)} of ${grouped(count)} ${what}.` : `Done, ${grouped(count)} ${what}.`);
  } catch (error) {
    say(error.message, true);
    stream = null; // its state is not known
  }
  running = false;
  chart.draw();
  enable();
}

/** Empty the page, and begin with a new stream. */
async function begin() {
  if (!checkPrompt()) return $("prompt").focus();
  await stop(); // a step may be on its way still
  clear();
  const seed = $("seed").valueAsNumber;
  const { vocabulary } = model;
  stream = vocabulary
    ? new Writer(session, vocabulary, $("prompt").value, seed)
    : new Noise(session, model.zeros(), seed);
  return run();
}

function clear() {
  session.reset();
  stream = null;
  $("given").replaceChildren();
  $("written").replaceChildren();
  for (const [id, text] of [["rate", "–"], ["cost", "–"], ["steps", "0"]]) $(id).textContent = text;
  chart.clear(unitsOf(session.state).length);
}

async function stop() {
  running = false;
  await finished.catch(() => {}); // run() says what went wrong
}

/** Load the chosen model in the chosen engine, and fit the page to what it takes. */
async function choose() {
  const [name, engine] = [$("model").value, $("engine").value];
  const key = `${engine}/${name}`;
  await stop();
  [model, stream] = [null, null];
  enable();
  say(`Loading ${name} …`);
  try {
    if (!loaded.has(key)) loaded.set(key, await load(name, engine));
    if ($("model").value !== name || $("engine").value !== engine) return; // another one was chosen meanwhile
    model = loaded.get(key);
    session = model.session();
    present(name);
  } catch (error) {
    say(error.message, true);
  }
  enable();
}

/** Offer the engines that the chosen model has a file for; the one that was chosen before stays, if it can. */
function offerEngines() {
  const before = $("engine").value;
  const engines = enginesOf(listed.get($("model").value));
  $("engine").replaceChildren(...engines.map((engine) => new Option(ENGINES[engine].title, engine)));
  if (engines.includes(before)) $("engine").value = before;
  $("engine").disabled = engines.length < 2;
}

function present(name) {
  const { vocabulary } = model;
  clear();
  document.body.classList.toggle("numbers", !vocabulary);
  for (const field of document.querySelectorAll("[data-for=text]")) field.hidden = !vocabulary;
  $("text-title").textContent = vocabulary ? "Text" : "Outputs for random inputs";
  $("length-name").textContent = vocabulary ? "Characters" : "Steps";
  $("chart").ariaLabel =
    `Heat map of the ${chart.rows} units of the state: a column for each time step, the newest at the right; ` +
    "blue is below zero, orange above.";
  checkPrompt();
  describe();
  if (vocabulary || takesNumbers(model)) say(`${name} is ready.`);
  else say(`${name} takes token ids and has no vocabulary: this page cannot make up inputs for it.`, true);
}

/** Say what is wrong with the prompt; give whether nothing is. */
function checkPrompt() {
  let problem = "";
  try {
    if (model?.vocabulary) tokensOf($("prompt").value, model.vocabulary);
  } catch (error) {
    problem = error.message;
  }
  $("prompt").ariaInvalid = String(Boolean(problem));
  $("prompt-problem").textContent = problem;
  return !problem;
}

/** Say what the chart shows, or what lies below the pointer. */
function describe(event) {
  const found = event && chart.at(event.offsetX, event.offsetY);
  const value = found?.value.toFixed(3).replace("-", "−");
  const behind = found?.label ? `“${found.label}”, step ${grouped(found.step)}` : `step ${grouped(found?.step ?? 0)}`;
  $("readout").textContent = found
    ? `Unit ${found.index} behind ${behind}: ${value}`
    : `A column is the state behind one ${model?.vocabulary ? "character" : "time step"}, a row one of its ` +
      `${chart.rows} units. Point at it to read a value.`;
}

function showSettings() {
  $("temperature-shown").textContent = $("temperature").valueAsNumber.toFixed(2);
  const words = pace() === Infinity ? "as fast as it can" : `up to ${pace()} steps a second`;
  $("pace-shown").textContent = words;
  $("pace").ariaValueText = words;
}

function listen() {
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) stop();
    else begin();
  });
  $("more").addEventListener("click", async () => {
    await stop();
    if ($("controls").reportValidity()) run();
  });
  $("new-seed").addEventListener("click", () => ($("seed").value = Math.floor(Math.random() * 10000)));
  $("prompt").addEventListener("input", checkPrompt);
  $("controls").addEventListener("input", showSettings);
  $("model").addEventListener("change", () => {
    offerEngines();
    choose();
  });
  $("engine").addEventListener("change", choose);
  for (const name of ["pointerdown", "pointermove"]) $("chart").addEventListener(name, describe);
  $("chart").addEventListener("pointerleave", () => describe());
  document.addEventListener("keydown", ({ key, ctrlKey, metaKey }) => {
    if (key === "Escape") stop();
    if (key === "Enter" && (ctrlKey || metaKey) && !running && !$("write").disabled) $("controls").requestSubmit();
  });
  chart.onLimit = (limit) => {
    $("lowest").textContent = `−${limit}`;
    $("highest").textContent = `+${limit}`;
  };
}

async function start() {
  for (const [theme, gradient] of Object.entries(gradients())) {
    document.documentElement.style.setProperty(`--scale-${theme}`, gradient);
  }
  listen();
  showSettings();
  const models = await (await fetch("models/index.json")).json();
  if (!models.length) throw new Error("Expected models, got none: put bundles into models/ and build again");
  const first = models.find(({ text }) => text) ?? models[0];
  for (const { name, text, wasm } of models) {
    listed.set(name, { wasm });
    $("model").append(new Option(text ? name : `${name} (no text)`, name, false, name === first.name));
  }
  $("model-field").hidden = models.length < 2;
  offerEngines();
  await choose();
}

start().catch((error) => say(error.message, true));
