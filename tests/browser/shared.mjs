// What the stories share: pages that are watched, hands that drive them, looks at a page on every screen.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Address of the server. */
export let BASE = process.env.BASE_URL;

/** From here on the server is another one. */
export function useServer(address) {
  BASE = address;
}

export const HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">";
/** CSS pixels of the screens that every page is looked at on. */
export const SCREENS = {
  phone: { width: 360, height: 740 },
  tablet: { width: 768, height: 1024 },
  desk: { width: 1440, height: 900 },
};
/** Options that keep a run short. */
export const ONCE = { Measuring: { repetitions: "1", warmup: "0" } };

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// A busy machine is slow; only something broken takes longer, in milliseconds.
const PATIENCE = 30_000;
// More stops of the tabulator key than any page has.
const MOST_STOPS = 250;
const SCREENSHOTS = process.env.SCREENSHOTS;
/** Layout shifts are told on the console by this word. */
const SHIFT = "layout shift";

/** What is wrong, in words; nothing may be in it at the end. */
const wrong = [];
let story = "start";

/** Tells that something is wrong, once. */
function say(message) {
  const words = `${story}: ${message}`;
  if (!wrong.includes(words)) {
    wrong.push(words);
  }
}

export function check(holds, message) {
  if (!holds) {
    throw new Error(message);
  }
}

/** A page of a browser that has never been here. Whatever is said on its console is wrong, unless `tolerated` matches it. */
export async function open(browser, { base = BASE, tolerated = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: SCREENS.desk, colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.shifts = [];
  page.tolerated = tolerated;
  page.on("console", (message) => {
    const text = message.text();
    if (text.startsWith(SHIFT)) {
      page.shifts.push(JSON.parse(text.slice(SHIFT.length)));
    } else if (!page.tolerated.test(text)) {
      say(`the console says: ${text}`);
    }
  });
  page.on("pageerror", (error) => say(`a script failed: ${error.message}`));
  page.on("request", (request) => {
    if (![base, "data:", "file:", "blob:"].some((own) => request.url().startsWith(own))) {
      say(`the page asks another host: ${request.url()}`);
    }
  });
  await page.addInitScript((shift) => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`the security policy forbids ${event.violatedDirective}: ${event.blockedURI}`);
    });
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries()) {
        const moved = sources.map(({ node }) => (node?.closest ? node : node?.parentElement)).map((it) => (it ? `${it.localName}#${it.id}.${it.className}` : "?"));
        console.debug(shift + JSON.stringify({ value: hadRecentInput ? 0 : value, moved }));
      }
    }).observe({ type: "layout-shift", buffered: true });
  }, SHIFT);
  return page;
}

/** Closes all pages. Those of a server that stops would tell that it does not answer. */
export async function leave(browser) {
  await Promise.all(browser.contexts().map((context) => context.close()));
}

/** Waits until the page tells how a run went: all of it, since the headline is there before the rest. */
export async function ended(page) {
  await page.waitForSelector("h1.headline");
  await page.waitForLoadState();
}

/** Presses what leads to another page, and waits for all of that: a click waits for its beginning only. */
export async function lead(page, selector) {
  await page.click(selector);
  await page.waitForLoadState();
}

// --- Looks ---------------------------------------------------------------------------------------

const unfold = (page, is) => page.evaluate((open) => {
  for (const folded of document.querySelectorAll("main details")) {
    if (open && !folded.open) {
      folded.open = true;
      folded.dataset.unfolded = "";
    } else if (!open && "unfolded" in folded.dataset) {
      folded.open = false;
      delete folded.dataset.unfolded;
    }
  }
}, is);

/** What axe-core has against a page as it is now. */
async function complaints(page, what, rules) {
  await unfold(page, true);
  await fits(page, `${what}, unfolded`);
  if (!(await page.evaluate("typeof axe === 'object'"))) {
    await page.evaluate(`${AXE};0`);
  }
  const options = { runOnly: rules, resultTypes: ["violations"], preload: false };
  const { violations } = await page.evaluate((options) => axe.run(document, options), options);
  await unfold(page, false);
  for (const { impact, id, help, nodes } of violations) {
    const where = nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ");
    say(`${what}: ${impact}: ${id}: ${help} (${where})`);
  }
}

async function fits(page, what) {
  const [content, screen, widest] = await page.evaluate(() => {
    const screen = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll("main *")].filter((it) => it.getBoundingClientRect().right > screen && !it.closest(".scroll, pre"));
    return [document.documentElement.scrollWidth, screen, wide[0]?.outerHTML.slice(0, 80) ?? "nothing of the content"];
  });
  if (content > screen) {
    say(`${what}: the page is ${content} wide and the screen ${screen}; ${widest} sticks out`);
  }
}

/** Looks at a page on each screen, in light and dark, as it comes and unfolded; keeps the pictures. */
export async function look(page, name) {
  // Styles of the strip that htmx loads count too.
  if (await page.locator("#system-strip").count()) {
    await page.waitForSelector("#system-strip .gauges");
  }
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const [screen, size] of Object.entries(SCREENS)) {
      await page.setViewportSize(size);
      await picture(page, `${name}-${size.width}-${colorScheme}`);
      if (colorScheme === "light") {
        await accessible(page, `${name} on a ${screen}`);
      }
    }
  }
  // Of what axe looks for, only this depends on the colours.
  await complaints(page, `${name} in the dark`, { type: "rule", values: ["color-contrast", "link-in-text-block"] });
  await page.emulateMedia({ colorScheme: null });
}

async function picture(page, name) {
  if (SCREENSHOTS) {
    const path = join(SCREENSHOTS, `${name.replaceAll(/[^a-z0-9]+/gi, "-")}.jpg`);
    await page.screenshot({ path, fullPage: true, quality: 80, type: "jpeg", animations: "disabled" });
  }
}

/** What axe-core has against a page, unfolded, on the screen that it is on; and whether it fits on that. */
export async function accessible(page, what) {
  await fits(page, what);
  await complaints(page, what, RULES);
}

export function clearScreenshots() {
  if (SCREENSHOTS) {
    rmSync(SCREENSHOTS, { recursive: true, force: true });
    mkdirSync(SCREENSHOTS, { recursive: true });
  }
}

// --- Hands ---------------------------------------------------------------------------------------

/** What has the focus, and whether it can be seen: a ring around something that is on the screen. */
const focused = (page, selector) => page.evaluate((selector) => {
  const it = document.activeElement;
  if (!it || it === document.body) {
    return { is: false, name: "nothing" };
  }
  const style = getComputedStyle(it);
  const box = it.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && style.outlineColor !== "rgba(0, 0, 0, 0)";
  const inner = it.matches(".stall") && parseFloat(getComputedStyle(it.querySelector("rect")).strokeWidth) >= 2;
  return {
    is: selector !== null && [...document.querySelectorAll(selector)].includes(it),
    name: `${it.localName}${it.id ? `#${it.id}` : ""} “${(it.textContent || it.value || "").trim().replaceAll(/\s+/g, " ").slice(0, 30)}”`,
    shown: (ring || inner) && it.matches(":focus-visible"),
    inside: box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
  };
}, selector);

/** By keyboard alone. Every stop on the way must be seen. */
export class Keyboard {
  constructor(page) {
    this.page = page;
  }

  /** Goes on with the tabulator key until something that fits the selector has the focus. */
  async to(selector) {
    let at = await focused(this.page, selector);
    for (let stop = 0; stop < MOST_STOPS && !at.is; stop += 1) {
      await this.page.keyboard.press("Tab");
      at = await focused(this.page, selector);
      if (at.name !== "nothing" && !(at.shown && at.inside)) {
        say(`${new URL(this.page.url()).pathname}: the focus cannot be seen on ${at.name}`);
      }
    }
    if (at.is) {
      return;
    }
    throw new Error(`the tabulator key does not lead to ${selector}`);
  }

  async press(selector) {
    await this.to(selector);
    await this.page.keyboard.press("Enter");
  }

  async tick(selector) {
    await this.to(selector);
    await this.page.keyboard.press("Space");
  }

  async write(selector, text) {
    await this.to(selector);
    await this.page.keyboard.press("Control+A");
    await this.page.keyboard.type(text);
  }
}

/** By mouse, or by finger where the page knows fingers. */
export class Pointer {
  constructor(page, byFinger = false) {
    this.page = page;
    this.byFinger = byFinger;
  }

  async press(selector) {
    const target = this.page.locator(selector).first();
    await (this.byFinger ? target.tap() : target.click());
  }

  async tick(selector) {
    await this.press(selector);
  }

  async write(selector, text) {
    await this.press(selector);
    await this.page.fill(selector, text);
  }
}

// --- Ways that many stories begin with -------------------------------------------------------------

/** Fills in the form and presses the button. */
export async function run(page, { prompt, models = [], byHand = "", options = {}, base = BASE }) {
  await page.goto(`${base}/`);
  await page.fill("#prompt", prompt);
  for (const box of await page.locator("input[name=models]:checked").all()) {
    await box.uncheck();
  }
  for (const model of models) {
    await page.check(`input[name=models][value="${model}"]`);
  }
  if (byHand) {
    await page.click("summary:has-text('by hand')");
    await page.fill("#more_models", byHand);
  }
  for (const [group, fields] of Object.entries(options)) {
    await page.click(`summary:has-text("${group}")`);
    for (const [id, value] of Object.entries(fields)) {
      const field = page.locator(`#${id}`);
      await ((await field.evaluate((it) => it.tagName)) === "SELECT" ? field.selectOption(value) : field.fill(value));
    }
  }
  await page.click("button.big");
  await page.waitForURL(/\/runs\/[0-9a-f]{24}$/);
  return page.url();
}

/** Asks the agents by keyboard alone; the address of the session. */
export async function askAgents(page, { prompt, model }) {
  await page.goto(`${BASE}/nova`);
  await page.click("summary:has-text('Other models')");
  await page.fill("#other_model", model);
  await page.focus("#prompt");
  await page.keyboard.type(prompt);
  await page.keyboard.press("Control+Enter");
  await page.waitForURL(/\/nova\/[0-9a-f]{24}#turn-1$/);
  return page.url();
}

/** A run that is asked for past the page: its id at its end, or at once where nobody waits. */
export async function start(request, { base = BASE, wait = true } = {}) {
  const body = JSON.stringify({ prompt: "x", repetitions: 1, warmup: 0, ...request });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${base}/api/benchmarks/${wait ? "run" : "start"}`, { method: "POST", headers, body });
  const { id, benchmark_id: failed } = await answer.json();
  check(id ?? failed, `a run was not started: status ${answer.status}`);
  return id ?? failed;
}

/** Ends what a failed story has left going on, so that the next one does not wait behind it. */
async function stopRuns() {
  for (const status of ["queued", "running"]) {
    for (const { id } of await (await fetch(`${BASE}/api/benchmarks/history?status=${status}`)).json()) {
      await fetch(`${BASE}/api/benchmarks/${id}/cancel`, { method: "POST" });
    }
  }
}

/** Another server of the program, with nothing stored; told what it needs by its environment. */
export async function serve(environment) {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const settings = { BENCHMARKER_PORT: "0", DATABASE_URL: `sqlite:${join(folder, "page.db")}`, BENCHMARKER_CALIBRATION__AUTOMATIC: "false", NO_COLOR: "1" };
  const child = spawn(process.env.BENCHMARKER, ["serve"], { cwd: folder, env: { ...process.env, ...settings, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const base = await new Promise((found, failed) => {
    let said = "";
    const read = (text) => {
      said += text;
      const address = said.match(/serving on (http:\/\/[0-9.:]+)/);
      if (address) {
        found(address[1]);
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", failed);
    child.on("exit", () => failed(new Error(`the server did not start: ${said}`)));
  });
  const stop = () => new Promise((done) => {
    child.removeAllListeners("exit");
    child.on("exit", () => {
      rmSync(folder, { recursive: true, force: true });
      done();
    });
    child.kill();
  });
  return { base, stop };
}

/** Tells all stories, or those whose name holds a word of the command line, and ends the process: 0 where all is well, 1 where
 *  something is wrong. */
export async function drive(stories) {
  if (!BASE) {
    console.error("Set BASE_URL to the address of a running server, such as http://127.0.0.1:8000");
    process.exit(1);
  }
  const chosen = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    for (const [name, tell] of Object.entries(stories)) {
      if (chosen.length > 0 && !chosen.some((part) => name.includes(part))) {
        continue;
      }
      story = name;
      const [begun, before] = [performance.now(), wrong.length];
      try {
        await tell(browser);
      } catch (error) {
        say(error.message);
        await stopRuns();
      }
      await leave(browser);
      console.log(`${wrong.length > before ? "wrong" : "ok   "} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
    }
  } finally {
    await browser.close();
  }
  for (const message of wrong) {
    console.error(`browser: ${message}`);
  }
  process.exit(wrong.length > 0 ? 1 : 0);
}
