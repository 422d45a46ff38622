// What a finished run tells: under the pointer, by keyboard, as a file that needs nothing else.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { BASE, ONCE, check, ended, look, open, run, start } from "./shared.mjs";

// Words from right to left, signs of several code points, and a line longer than any screen.
const SCRIPTS = "مرحبا بالعالم، لماذا السماء زرقاء؟ שלום 👩‍👩‍👧‍👦 🏳️‍🌈 你好 ";

/** Points at one place of the timeline after the other until it tells such values. A busy machine may have made more stalls,
 *  and seldom been looked at. */
async function tellsSomewhere(page, values) {
  const { width } = await page.locator(".explorer").boundingBox();
  for (const part of [0.25, 0.5, 0.75, 0.9, 0.15, 0.35, 0.65, 0.8]) {
    await page.hover(".explorer", { position: { x: width * part, y: 40 } });
    if (values.test(await page.textContent("#readout"))) {
      return;
    }
  }
  throw new Error(`the drawing does not tell its values: ${values}`);
}

export default {
  async "a stall tells what moved, by mouse and by keyboard"(browser) {
    const page = await open(browser);
    await run(page, { prompt: "x", byHand: "script:tokens=60,ttft=50,gap=15,pause=600@reference", options: ONCE });
    await ended(page);
    const readout = () => page.textContent("#readout");
    await page.hover(".stall");
    check(/without a chunk/.test(await readout()), "a stall that is pointed at is silent");
    await tellsSomewhere(page, /chunks\/s .*CPU/);
    // A busy machine may have made others.
    await page.locator(".stall").first().focus();
    check(/without a chunk/.test(await readout()), "a stall that has the focus is silent");
    await page.keyboard.press("Enter");
    check(await page.locator("#stall-1 table, #stall-1 p.quiet").first().isVisible(), "the entry of a stall does not open");
    await look(page, "result of one model with a stall");
    await page.click("text=Look closer");
    await page.waitForSelector("h2:has-text('A part of the run')");
    await page.click("text=Show the whole run");
    await page.waitForSelector("h2:has-text('Timeline of the run')");
  },

  async "a report is one file, and a card a picture"(browser) {
    const id = await start({ prompt: "A report", models: ["steady@reference", "bursty@reference"] });
    const page = await open(browser, { acceptDownloads: true });
    await page.goto(`${BASE}/runs/${id}`);
    const headline = await page.textContent("h1.headline");
    const picture = new URL(await page.getAttribute("a:has-text('Card')", "href"), BASE).href;
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("a:has-text('Report')")]);
    // Away from the server: nothing is there to be asked.
    const file = join(mkdtempSync(join(tmpdir(), "report-")), download.suggestedFilename());
    await download.saveAs(file);
    await page.goto(pathToFileURL(file).href);
    rmSync(dirname(file), { recursive: true });
    check((await page.textContent("h1.headline")) === headline, "the report has another sentence");
    check(await page.evaluate(() => getComputedStyle(document.querySelector(".card")).borderTopStyle === "solid"), "the report has no style");
    await tellsSomewhere(page, /CPU/);
    await look(page, "report");
    await page.goto(`${BASE}/`);
    const drawn = await page.evaluate(async (address) => {
      const image = new Image();
      image.src = address;
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }, picture);
    check(drawn.join() === "1200,630", `the card is drawn as ${drawn}`);
  },

  async "words from right to left, pictures and a huge answer"(browser) {
    const id = await start({
      prompt: SCRIPTS.repeat(2000),
      models: ["script:tokens=20000,chunk=100,ttft=5,gap=1@reference", "script:tokens=2000,chunk=20,ttft=5,gap=1,echo=4000@reference"],
      name: SCRIPTS,
      tags: ["שלום", "🏳️‍🌈"],
    });
    const page = await open(browser);
    await page.goto(`${BASE}/runs/${id}`);
    check(/مرحبا/.test(await page.textContent("h1.headline, .eyebrow")), "the name of the run is lost");
    const whole = page.locator("article a:has-text('All of it as plain text')").first();
    check(/This is the beginning/.test(await page.textContent("article")), "a cut answer does not say that it is cut");
    const [shown, all] = await Promise.all([
      page.locator("article pre:not(.thinking)").first().textContent(),
      page.request.get(new URL(await whole.getAttribute("href"), BASE).href).then((answer) => answer.text()),
    ]);
    check(all.length > shown.length && all.startsWith(shown.slice(0, 1000)), `the whole answer has ${all.length} characters, ${shown.length} are shown`);
    const directions = await page.locator("article pre:not(.thinking)").evaluateAll((texts) => texts.map((it) => getComputedStyle(it).direction));
    check(directions.join() === "ltr,rtl", `answers run ${directions}`);
    await look(page, "result in other scripts and huge");
    await page.goto(`${BASE}/?from=${id}`);
    check((await page.locator("#prompt").evaluate((it) => getComputedStyle(it).direction)) === "rtl", "the prompt runs from left to right");
    await page.goto(`${BASE}/history?q=${encodeURIComponent("مرحبا")}`);
    check((await page.locator("tbody tr").count()) >= 1, "a run is not found by words of another script");
  },

  async "many requests stay a page that opens"(browser) {
    const requests = 500;
    const id = await start({ prompt: "Many", models: ["script:tokens=1,ttft=0,gap=0@reference"], load: { pattern: "closed", concurrency: 16, max_requests: requests } });
    const page = await open(browser);
    await page.goto(`${BASE}/runs/${id}`);
    check((await page.textContent(".figures-table")).includes(String(requests)), "not all requests are in the table");
    const elements = await page.evaluate(() => document.querySelectorAll("*").length);
    check(elements < 3 * requests, `the page of ${requests} requests has ${elements} elements`);
    await look(page, "result of many requests");
  },
};
