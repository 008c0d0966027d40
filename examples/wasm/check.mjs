/** Check build/site in Chromium: every golden vector, in the page and in an AudioWorklet. */
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { chromium } from "playwright-core";

const SITE = resolve("build/site");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const SCREENSHOTS = { "screenshot.png": 1500, "screenshot-narrow.png": 360 }; // and their widths

const problems = [];

function answer(request, response) {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  const file = join(SITE, path.endsWith("/") ? `${path}index.html` : path);
  if (!file.startsWith(SITE) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
}

const server = createServer(answer);
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 600 } });
  page.on("requestfailed", (request) => problems.push(`not loaded: ${request.url()}`));
  page.on("pageerror", (error) => problems.push(`error in the page: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`in the console: ${message.text()}`);
  });
  await page.goto(`http://127.0.0.1:${server.address().port}`);
  await page.locator("#results[aria-busy=false]").waitFor({ timeout: 300_000 });
  for (const line of await page.locator("#results li").all()) {
    const right = (await line.getAttribute("class")) === "passed";
    (right ? console.log : console.error)(await line.textContent());
    if (!right) process.exitCode = 1;
  }
  for (const [file, width] of Object.entries(SCREENSHOTS)) {
    await page.setViewportSize({ width, height: 600 });
    await page.screenshot({ path: `build/${file}`, fullPage: true });
  }
} finally {
  await browser.close();
  server.close();
}
for (const problem of new Set(problems)) console.error(`error: ${problem}`);
if (problems.length) process.exitCode = 1;
