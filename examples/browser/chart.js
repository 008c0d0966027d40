/** A heat map that moves: rows are the numbers of a state, columns time steps, the newest at the right. */

// Blue and orange are told apart with any colour vision; zero is near the background of each theme.
const PALETTES = {
  light: ["#08306b", "#2171b5", "#8fc1e3", "#f5f5f2", "#f6b26b", "#d9690c", "#7a2e00"],
  dark: ["#b5dcff", "#4f9fe0", "#1f4f80", "#15191f", "#7a430f", "#dd7d1e", "#ffd3a1"],
};
const COLOURS = 255; // an odd number: one of them is zero's
const LIMITS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const COLUMN = 13; // sizes in CSS pixels
const HEIGHT = 320;
const TOP = 7; // half a line of text
const GUTTER = 34;
const LABELS = 22;
const TICK = 30;
const MOST_ROWS = 512; // of a larger state, the first ones
const LONGEST = 1024; // columns that are kept

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** Fill a table of RGBA colours between the stops of a palette. */
function colourTable(stops) {
  const table = new Uint32Array(COLOURS);
  const bytes = new Uint8ClampedArray(table.buffer);
  for (let i = 0; i < COLOURS; i++) {
    const at = (i / (COLOURS - 1)) * (stops.length - 1);
    const below = Math.min(Math.floor(at), stops.length - 2);
    const [one, other] = [channels(stops[below]), channels(stops[below + 1])];
    one.forEach((value, c) => (bytes[4 * i + c] = value + (at - below) * (other[c] - value)));
    bytes[4 * i + 3] = 255;
  }
  return table;
}

/** Show a character in a cell of its own. */
function visible(label) {
  return { " ": "·", "\n": "↵", "\t": "⇥" }[label] ?? label;
}

export class Chart {
  #canvas;
  #context;
  #cells = document.createElement("canvas"); // a pixel for each number, drawn larger
  #columns = [];
  #limit;
  #dark = matchMedia("(prefers-color-scheme: dark)");

  steps = 0; // added since the chart was empty
  rows = 0;
  onLimit = () => {}; // is told what value the two ends of the palette are, minus and plus

  /** @param {HTMLCanvasElement} canvas as wide as its box; its height follows from the rows */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    this.#dark.addEventListener("change", () => this.draw());
  }

  /** Start an empty chart of some rows. */
  clear(rows) {
    this.rows = Math.min(rows, MOST_ROWS);
    this.#columns = [];
    this.steps = 0;
    this.#reach(0);
    this.draw();
  }

  /**
   * Add a time step, without drawing it yet.
   * @param {Float32Array} values a number for each row
   * @param {string} label a character, written below; or ""
   * @param {boolean} given the character is of the prompt
   */
  add(values, label, given) {
    this.#columns.push({ values, label, given, step: ++this.steps });
    if (this.#columns.length > LONGEST) this.#columns.shift();
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest > this.#limit) this.#reach(largest);
  }

  /** Draw all columns that there is room for. */
  draw() {
    const width = this.#canvas.parentElement.clientWidth;
    if (!this.rows || !width) return;
    const pixels = devicePixelRatio;
    this.layout = this.#lay(width, pixels);
    const { height, left, plot } = this.layout;
    this.#canvas.width = Math.round(width * pixels);
    this.#canvas.height = Math.round((TOP + height + LABELS) * pixels);
    this.#canvas.style.height = `${TOP + height + LABELS}px`;
    this.#context.setTransform(pixels, 0, 0, pixels, 0, TOP * pixels);
    const shown = this.#columns.slice(-this.layout.count);
    const style = getComputedStyle(this.#canvas);
    this.#context.fillStyle = style.getPropertyValue("--empty");
    this.#context.fillRect(left, 0, plot, height);
    if (shown.length) this.#drawCells(shown);
    this.#drawLabels(shown, style);
    this.#drawTicks(style);
  }

  /** Say what lies below a point of the canvas, in CSS pixels; null if nothing does. */
  at(x, y) {
    const { left, plot, row, count } = this.layout;
    const shown = this.#columns.slice(-count);
    const back = Math.floor((left + plot - x) / COLUMN);
    const column = shown[shown.length - 1 - back];
    const index = Math.floor((y - TOP) / row);
    if (!column || index < 0 || index >= this.rows || back < 0) return null;
    return { index, step: column.step, label: visible(column.label), value: column.values[index] };
  }

  #reach(largest) {
    this.#limit = LIMITS.find((limit) => limit >= largest) ?? LIMITS.at(-1);
    this.onLimit(this.#limit);
  }

  /** Choose whole device pixels for each row, so that all rows are as high. */
  #lay(width, pixels) {
    const row = Math.max(1, Math.floor((HEIGHT * pixels) / this.rows)) / pixels;
    const count = Math.max(1, Math.floor((width - GUTTER) / COLUMN));
    return { row, count, height: row * this.rows, plot: count * COLUMN, left: width - count * COLUMN };
  }

  #drawCells(shown) {
    const image = new ImageData(shown.length, this.rows);
    const colours = new Uint32Array(image.data.buffer);
    const table = colourTable(PALETTES[this.#dark.matches ? "dark" : "light"]);
    const half = (COLOURS - 1) / 2;
    shown.forEach(({ values }, x) => {
      for (let y = 0; y < this.rows; y++) {
        const share = Math.max(-1, Math.min(1, values[y] / this.#limit)) || 0; // NaN is shown as zero
        colours[y * shown.length + x] = table[Math.round(half + half * share)];
      }
    });
    Object.assign(this.#cells, { width: shown.length, height: this.rows });
    this.#cells.getContext("2d").putImageData(image, 0, 0);
    const { left, plot, height } = this.layout;
    const wide = shown.length * COLUMN;
    this.#context.imageSmoothingEnabled = false;
    this.#context.drawImage(this.#cells, left + plot - wide, 0, wide, height);
  }

  #drawLabels(shown, style) {
    const { left, plot, height } = this.layout;
    Object.assign(this.#context, { textAlign: "center", textBaseline: "middle" });
    shown.forEach(({ label, given }, i) => {
      const newest = i === shown.length - 1;
      this.#context.font = `${newest ? 700 : 400} 12px ${style.getPropertyValue("--mono")}`;
      this.#context.fillStyle = style.getPropertyValue(given || newest ? "--accent" : "--text");
      const x = left + plot - (shown.length - i - 0.5) * COLUMN;
      this.#context.fillText(visible(label), x, height + LABELS / 2 + 1);
    });
  }

  #drawTicks(style) {
    const { left, row } = this.layout;
    Object.assign(this.#context, { textAlign: "right", textBaseline: "middle", fillStyle: style.getPropertyValue("--muted") });
    this.#context.font = `11px ${style.getPropertyValue("--sans")}`;
    let between = 1;
    while (between * row < TICK) between *= 2;
    for (let unit = 0; unit < this.rows; unit += between) {
      this.#context.fillText(unit, left - 7, unit * row + 1);
      this.#context.fillRect(left - 4, unit * row, 4, 1);
    }
  }
}

/** Give the palette of each theme as a CSS gradient, for a legend. */
export function gradients() {
  const entries = Object.entries(PALETTES);
  return Object.fromEntries(entries.map(([theme, stops]) => [theme, `linear-gradient(to right, ${stops.join(", ")})`]));
}
