// Takes the pictures of the README from the running program: the result of a run, in light and dark. They are WebP of at
// most 150 kB, since they are kept in the repository.
//
//   npm ci && BENCHMARKER=../../target/debug/ollama-benchmarker node shots.mjs [FOLDER]
//
// Without FOLDER they go to `target/pictures`. It starts a server of its own; CHROMIUM names another browser than the
// system's. Exit 0: all were taken; 1: one could not be, or got too large.
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { check, serve, start } from "./shared.mjs";

const FOLDER = resolve(process.argv[2] ?? "../../target/pictures");
const MOST_BYTES = 150_000;
const SCREEN = { width: 1200, height: 760 };
const RUN = { prompt: "Why is the sky blue?", models: ["steady@reference", "bursty@reference"], repetitions: 10, warmup: 1 };

/** PNG as WebP; the browser packs it. */
async function packed(browser, png) {
  const page = await browser.newPage();
  const address = await page.evaluate(async (base64) => {
    const picture = new Image();
    picture.src = `data:image/png;base64,${base64}`;
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: picture.naturalWidth, height: picture.naturalHeight });
    canvas.getContext("2d").drawImage(picture, 0, 0);
    return canvas.toDataURL("image/webp", 0.85);
  }, png.toString("base64"));
  await page.close();
  return Buffer.from(address.slice(address.indexOf(",") + 1), "base64");
}

async function picture(browser, page, name) {
  const bytes = await packed(browser, await page.screenshot({ animations: "disabled" }));
  check(bytes.length <= MOST_BYTES, `${name} has ${bytes.length} bytes; at most ${MOST_BYTES} are kept`);
  writeFileSync(join(FOLDER, `${name}.webp`), bytes);
  console.log(`${name}.webp ${bytes.length} bytes`);
}

async function take(browser, base) {
  const id = await start(RUN, { base });
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: SCREEN, colorScheme, deviceScaleFactor: 1.5 });
    const page = await context.newPage();
    await page.goto(`${base}/runs/${id}`);
    // The first look at the machine has nothing to compare with.
    await page.waitForFunction(() => /CPU\s*[\d.]+\s*%/.test(document.querySelector("#system-strip")?.textContent));
    await picture(browser, page, `result-${colorScheme}`);
  }
}

mkdirSync(FOLDER, { recursive: true });
const { base, stop } = await serve({ OLLAMA_HOST: "127.0.0.1:9" });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  await take(browser, base);
} finally {
  await browser.close();
  await stop();
}
