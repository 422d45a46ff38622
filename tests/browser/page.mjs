// Drives the page in a real browser, as a person would: choose two models, press the button, watch
// the text arrive, read the result, find it again. On the way it watches for what no page may do:
// errors on the console, breaches of the content security policy, markup that shuts people out.
//
//   npm ci && BASE_URL=http://127.0.0.1:8000 CHROMIUM=/usr/bin/chromium node page.mjs
//
// It needs a running server and no model. Exit 0: all well; 1: something is wrong, and named.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const BASE = process.env.BASE_URL;
const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">";
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 900 };
// A busy machine is slow; only something broken takes longer.
const PATIENCE = 30_000;

const wrong = [];
let step = "start";

function check(holds, message) {
  if (!holds) {
    throw new Error(message);
  }
}

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: DESK, colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      wrong.push(`${step}: the console says: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => wrong.push(`${step}: a script failed: ${error.message}`));
  page.on("request", (request) => {
    if (![BASE, "data:", "file:"].some((own) => request.url().startsWith(own))) {
      wrong.push(`${step}: the page asks another host: ${request.url()}`);
    }
  });
  return page;
}

async function accessible(page, what) {
  // Styles of the strip that htmx loads count too.
  if (page.url().startsWith(BASE)) {
    await page.waitForSelector("#system-strip .gauges");
  }
  await page.evaluate(`${AXE};0`);
  const { violations } = await page.evaluate((rules) => axe.run(document, { runOnly: rules }), RULES);
  for (const { impact, id, help, nodes } of violations) {
    const where = nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ");
    wrong.push(`${what}: ${impact}: ${id}: ${help} (${where})`);
  }
  const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  if (content > screen) {
    wrong.push(`${what}: the page is ${content} wide and the screen ${screen}`);
  }
}

/** Fills in the form and presses the button. */
async function run(page, { prompt, models, byHand = "", options = {} }) {
  await page.goto(`${BASE}/`);
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
async function askAgents(page, { prompt, model }) {
  await page.goto(`${BASE}/nova`);
  await page.click("summary:has-text('Other models')");
  await page.fill("#other_model", model);
  await page.focus("#prompt");
  await page.keyboard.type(prompt);
  await page.keyboard.press("Control+Enter");
  await page.waitForURL(/\/nova\/[0-9a-f]{24}#turn-1$/);
  return page.url();
}

/** The same without scripts: the page loads itself again until the answer is there. */
async function askAgentsPlainly(page) {
  await page.goto(`${BASE}/nova`);
  await page.fill("#prompt", "x");
  await page.click("#ask button.big");
  await page.waitForSelector(".where");
  check((await page.textContent(".turn .answer")).length > 10, "there is no answer without scripts");
}

/** Ends what a failed step has left going on, so that the next step does not wait behind it. */
async function stopRuns() {
  for (const status of ["queued", "running"]) {
    for (const { id } of await (await fetch(`${BASE}/api/benchmarks/history?status=${status}`)).json()) {
      await fetch(`${BASE}/api/benchmarks/${id}/cancel`, { method: "POST" });
    }
  }
}

const steps = {
  async "two models side by side"(browser) {
    const page = await open(browser);
    await run(page, {
      prompt: "Why is the sky blue?",
      models: ["steady@reference", "thinking@reference"],
      options: { Measuring: { repetitions: "2", execution: "concurrent" } },
    });
    const answers = page.locator(".live-model .answer");
    check((await answers.count()) === 2, "the live page has not two columns");
    // Text is there before the end, in both.
    await page.waitForFunction(() => {
      const columns = [...document.querySelectorAll(".live-model")];
      return columns.length === 2 && columns.every((column) => column.querySelector(".answer").textContent.length > 10);
    });
    await page.waitForSelector("h1.headline");
    check(/tokens/.test(await page.textContent("h1.headline")), "the result has no sentence");
    check((await page.locator("svg.chart").count()) === 4, "the result has not four drawings");
    check((await page.locator(".figures-table tbody tr").count()) === 2, "the table has not two rows");
    const drawn = await page.locator("svg.chart path.line").evaluateAll((lines) => lines.filter((line) => line.getBBox().width > 1).length);
    check(drawn >= 4, `only ${drawn} lines are drawn`);
    await page.click("summary:has-text('The same as a table') >> nth=1");
    check(await page.locator("table:has-text('Of the answer')").isVisible(), "the table of a drawing does not open");
    await page.click("text=Compare its models");
    check(/Everything is compared with/.test(await page.textContent("main")), "the models cannot be compared");
    await page.context().close();
  },

  async "a stall tells what moved, by mouse and by keyboard"(browser) {
    const page = await open(browser);
    await run(page, { prompt: "x", models: [], byHand: "script:tokens=60,ttft=50,gap=15,pause=600@reference", options: { Measuring: { repetitions: "1", warmup: "0" } } });
    await page.waitForSelector("h1.headline");
    const readout = () => page.textContent("#readout");
    await page.hover(".stall");
    check(/without a chunk/.test(await readout()), "a stall that is pointed at is silent");
    const box = await page.locator(".explorer").boundingBox();
    await page.hover(".explorer", { position: { x: box.width / 4, y: 40 } });
    check(/chunks\/s .*CPU/.test(await readout()), "the drawing does not tell its values");
    await page.locator(".stall").focus();
    check(/without a chunk/.test(await readout()), "a stall that has the focus is silent");
    await page.keyboard.press("Enter");
    check(await page.locator("#stall-1 table, #stall-1 p.quiet").first().isVisible(), "the entry of a stall does not open");
    await accessible(page, "result with a stall");
    await page.click("text=Look closer");
    await page.waitForSelector("h2:has-text('A part of the run')");
    await page.click("text=Show the whole run");
    await page.waitForSelector("h2:has-text('Timeline of the run')");
    await page.context().close();
  },

  async "a report is one file, and a card a picture"(browser) {
    const page = await open(browser, { acceptDownloads: true });
    await page.goto(`${BASE}/history?q=sky+blue`);
    await page.click("tbody .title a >> nth=0");
    await page.waitForSelector("h1.headline");
    const headline = await page.textContent("h1.headline");
    const picture = new URL(await page.getAttribute("a:has-text('Card')", "href"), BASE).href;
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("a:has-text('Report')")]);
    // Away from the server: nothing is there to be asked.
    const file = join(mkdtempSync(join(tmpdir(), "report-")), download.suggestedFilename());
    await download.saveAs(file);
    await page.goto(pathToFileURL(file).href);
    rmSync(dirname(file), { recursive: true });
    check((await page.textContent("h1.headline")) === headline, "the report has another sentence");
    await page.evaluate(() => document.querySelectorAll("main details").forEach((folded) => { folded.open = true; }));
    check(await page.evaluate(() => getComputedStyle(document.querySelector(".card")).borderTopStyle === "solid"), "the report has no style");
    const box = await page.locator(".explorer").boundingBox();
    await page.hover(".explorer", { position: { x: box.width / 2, y: 40 } });
    check(/CPU/.test(await page.textContent("#readout")), "the drawing of the report does not tell its values");
    await accessible(page, "report");
    await page.goto(`${BASE}/`);
    const drawn = await page.evaluate(async (address) => {
      const image = new Image();
      image.src = address;
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }, picture);
    check(drawn.join() === "1200,630", `the card is drawn as ${drawn}`);
    await page.context().close();
  },

  async "stop, and a page loaded in the middle"(browser) {
    const page = await open(browser);
    await run(page, { prompt: "x", models: [], byHand: "script:tokens=3000,ttft=300,gap=20@reference", options: { Measuring: { repetitions: "1", warmup: "0" } } });
    const longer = (than) => page.waitForFunction((length) => document.querySelector(".live-model .answer").textContent.length > length, than);
    await longer(50);
    const seen = (await page.textContent(".live-model .answer")).length;
    await page.reload();
    await longer(seen);
    check(!/–/.test(await page.textContent(".live-model .first")), "the time to the first chunk is lost by loading again");
    await page.waitForSelector(".live-model .state:has-text('writing')");
    await accessible(page, "live");
    await page.click("text=Stop");
    await page.waitForSelector("h1.headline");
    check(/cancelled/.test(await page.textContent(".status")), "the run was not cancelled");
    await page.context().close();
  },

  async "stuck looks other than slow"(browser) {
    const page = await open(browser);
    await run(page, { prompt: "x", models: [], byHand: "script:tokens=3,ttft=20,gap=60000@reference", options: { Measuring: { repetitions: "1", warmup: "0" } } });
    await page.waitForSelector(".state[data-state=stuck]");
    await page.click("text=Stop");
    await page.waitForSelector("h1.headline");
    await page.context().close();
  },

  async "mistakes beside their field"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", "kept");
    await page.click("summary:has-text('Measuring')");
    await page.fill("#repetitions", "many");
    // The answer is a page with status 422, which the console reports as a failed load.
    const before = wrong.length;
    await page.click("button.big");
    await page.waitForSelector("#repetitions-error");
    wrong.splice(before);
    check((await page.inputValue("#prompt")) === "kept", "the prompt is lost");
    check((await page.inputValue("#repetitions")) === "many", "the mistake is lost");
    check(await page.locator("#repetitions").isVisible(), "the field with the mistake is folded away");
    await accessible(page, "form with mistakes");
    await page.context().close();
  },

  async "saved prompts"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", `Saved ${HOSTILE}`);
    await page.fill("#prompt_name", HOSTILE);
    await page.click("text=Save prompt");
    await page.waitForSelector(".done:has-text('Saved as')");
    check(page.url() === `${BASE}/`, "saving a prompt leaves the page");
    await page.fill("#prompt", "another");
    await page.click(".saved .link");
    await page.waitForFunction(() => document.getElementById("prompt").value.startsWith("Saved <script>"));
    await accessible(page, "saved prompts");
    await page.click(".saved .ask summary");
    await page.click("text=Delete for good");
    await page.waitForSelector(".done:has-text('Deleted')");
    await page.context().close();
  },

  async "hostile text stays text"(browser) {
    const page = await open(browser);
    await run(page, {
      prompt: HOSTILE,
      models: [],
      byHand: "fault-hostile@reference fault-hostile-error@reference",
      options: { Measuring: { repetitions: "1", warmup: "0" }, "Name and tags": { name: HOSTILE, tags: "<b>tag</b>" } },
    });
    await page.waitForSelector("h1.headline");
    const id = page.url().split("/").pop();
    for (const path of [`/runs/${id}`, "/history", `/?from=${id}`, `/runs/${id}/delete`]) {
      await page.goto(BASE + path);
      check((await page.title()) !== "owned", `${path} ran a script of the run's name`);
      check((await page.locator("main script, main img").count()) === 0, `${path} made elements of hostile text`);
      check((await page.textContent("main")).includes("<script>") || (await page.inputValue("#prompt")).includes("<script>"), `${path} does not show the text`);
    }
    await page.context().close();
  },

  async "history by keyboard and by links"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/history`);
    await page.keyboard.press("Tab");
    check(await page.evaluate(() => document.activeElement.matches(".skip")), "the first stop of the keyboard is not the skip link");
    await page.fill("#filter-q", "sky blue");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=sky/);
    const shown = page.url();
    check((await page.locator("tbody tr").count()) >= 1, "the run is not found again");
    await page.click("th a:has-text('First chunk')");
    await page.waitForSelector("th[aria-sort=ascending]:has-text('First chunk')");
    check(page.url().includes("sky"), "sorting loses the filter");
    await page.goto(shown);
    await page.check("tbody tr >> nth=0 >> input");
    await page.click("text=Compare chosen");
    await page.waitForURL(/\/compare\?ids=/);
    await page.goto(shown);
    await page.click("tbody tr >> nth=0 >> text=Delete…");
    check(/Delete this benchmark\?/.test(await page.textContent("h1")), "deleting does not ask");
    await page.click("text=Keep it");
    await page.waitForSelector("h1.headline");
    await page.context().close();
  },

  async "agents at work, side by side, and their answer"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/nova?example=1`);
    check((await page.inputValue("#prompt")).includes("piano"), "there is no example");
    await accessible(page, "agents, nothing asked");
    await page.goto(`${BASE}/nova`);
    await page.focus("input[value=turn]");
    await page.keyboard.press("ArrowDown");
    check(await page.isChecked("input[value=nova_process]"), "the kind of work cannot be chosen by keyboard");
    await page.click("summary:has-text('Other models')");
    await page.fill("#other_model", "script:tokens=80,ttft=100,gap=30@reference");
    await page.click("summary:has-text('Course of the turn')");
    await page.fill("#domains", "statics\neconomics");
    await page.focus("#prompt");
    await page.keyboard.type(`A bridge? ${HOSTILE}`);
    await page.keyboard.press("Control+Enter");
    await page.waitForURL(/#turn-1$/);
    // Experts of a round write at the same time, and stand side by side.
    await page.waitForFunction(() => {
      const experts = [...document.querySelectorAll(".agent")].filter((it) => it.textContent.includes("Expert: "));
      return experts.filter((it) => !it.textContent.includes("done") && it.querySelector(".text").textContent.length > 10).length >= 2;
    });
    const boxes = [];
    for (const expert of await page.locator(".agent:has-text('Expert: ')").all()) {
      boxes.push(await expert.boundingBox());
    }
    check(boxes.length >= 2 && boxes[0].y === boxes[1].y && boxes[0].x !== boxes[1].x, "experts are not side by side");
    await accessible(page, "agents at work");
    await page.waitForSelector(".where");
    check((await page.textContent(".turn .answer")).length > 50, "there is no answer");
    check(!(await page.locator(".steps").evaluate((it) => it.open)), "steps are not folded at the end");
    check((await page.title()) !== "owned" && (await page.locator("main script, main img").count()) === 0, "text became markup");
    await page.locator(".steps > summary").press("Enter");
    check((await page.locator(".steps tbody tr").count()) >= 8, "steps are missing");
    await accessible(page, "agents, answered");
    const session = page.url();
    await page.click("text=Branch off here");
    await page.waitForURL((address) => /\/nova\/[0-9a-f]{24}$/.test(address) && !session.startsWith(String(address)));
    check(/branched off/.test(await page.textContent("#session-head")), "the branch does not say what it is");
    await page.click("text=Benchmark this session");
    await page.click("summary:has-text('by hand')");
    await page.fill("#more_models", "script:tokens=8,ttft=5,gap=1@reference");
    await page.fill("#repetitions", "1");
    await page.click("button.big");
    await page.waitForURL(/\/runs\/[0-9a-f]{24}$/);
    await page.waitForSelector("h1.headline");
    await page.context().close();
  },

  async "agents stopped, and a page loaded in the middle"(browser) {
    const page = await open(browser);
    await askAgents(page, { prompt: "x", model: "script:tokens=3000,ttft=100,gap=20@reference" });
    const longer = (than) => page.waitForFunction((length) => document.querySelector(".turn .answer").textContent.length > length, than);
    await longer(50);
    const seen = (await page.textContent(".turn .answer")).length;
    await page.reload();
    await longer(seen);
    await page.waitForSelector(".agent .state[data-state=writing]");
    await page.fill("#prompt", "and then?");
    await page.focus("#prompt");
    await page.keyboard.press("Control+Enter");
    await page.locator(".stop button").press("Enter");
    await page.waitForSelector(".turn:has-text('model servers were closed')");
    check((await page.inputValue("#prompt")) === "and then?", "what was written meanwhile is lost");
    check((await page.locator(".turn").count()) === 1, "a second turn began beside the first");
    await page.focus("#prompt");
    await page.click("summary:has-text('Agents and models')");
    await page.click("summary:has-text('Other models')");
    await page.fill("#other_model", "script:tokens=8,ttft=5,gap=1@reference");
    await page.locator("#prompt").press("Control+Enter");
    await page.waitForSelector("#turn-2 .where");
    await page.context().close();
  },

  async "agents that are stuck, and ones that ask"(browser) {
    const page = await open(browser);
    await askAgents(page, { prompt: "x", model: "script:tokens=3,ttft=20,gap=60000@reference" });
    await page.waitForSelector(".agent .state[data-state=stuck]");
    await page.click(".stop button");
    await page.waitForSelector(".where");
    await page.goto(`${BASE}/nova`);
    await page.check("input[value=nova_process]");
    await page.click("summary:has-text('Course of the turn')");
    await page.selectOption("#pause_after", "problem_unpacking");
    await page.locator("#prompt").fill("x");
    await page.locator("#prompt").press("Control+Enter");
    await page.waitForSelector(".status.awaiting_user");
    await page.waitForFunction(() => document.activeElement.id === "prompt");
    await page.context().close();
  },

  async "agents on every screen"(browser) {
    const finder = await open(browser);
    await finder.goto(`${BASE}/nova`);
    const sessions = await finder.locator("#sessions li > a").evaluateAll((links) => links.map((it) => it.getAttribute("href")));
    await finder.context().close();
    check(sessions.length >= 3, "sessions are not listed");
    for (const width of [360, 768, 1440]) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open(browser, { viewport: { width, height: 800 }, colorScheme });
        for (const path of ["/nova", ...sessions, `${sessions[0]}/turns/1`, `${sessions[0]}/delete`, `${sessions[0]}/benchmark`]) {
          await page.goto(BASE + path);
          await page.evaluate(() => document.querySelectorAll("main details").forEach((folded) => { folded.open = true; }));
          await accessible(page, `${path}, ${colorScheme}, ${width}`);
        }
        await page.context().close();
      }
    }
  },

  async "light, dark and phone"(browser) {
    const finder = await open(browser);
    await finder.goto(`${BASE}/history?q=sky+blue`);
    const result = await finder.getAttribute("tbody .title a", "href");
    await finder.context().close();
    const looks = { light: {}, dark: { colorScheme: "dark" }, phone: { viewport: PHONE, hasTouch: true }, "dark phone": { viewport: PHONE, colorScheme: "dark" } };
    const paths = { run: "/", result, history: "/history", compare: `/compare?ids=${result.split("/").pop()}`, "empty compare": "/compare", statistics: "/statistics", delete: `${result}/delete` };
    for (const [look, options] of Object.entries(looks)) {
      const page = await open(browser, options);
      for (const [name, path] of Object.entries(paths)) {
        await page.goto(BASE + path);
        await page.evaluate(() => document.querySelectorAll("main details").forEach((folded) => { folded.open = true; }));
        await accessible(page, `${name}, ${look}`);
      }
      await page.context().close();
    }
  },

  async "without scripts"(browser) {
    const page = await open(browser, { javaScriptEnabled: false });
    const address = await run(page, { prompt: "x", models: ["bursty@reference"], options: { Measuring: { repetitions: "1", warmup: "0" } } });
    await page.waitForSelector("h1.headline");
    check(page.url() === address, "the run page leads elsewhere");
    await askAgentsPlainly(page);
    await page.goto(`${BASE}/ui/system`);
    check(/Database/.test(await page.textContent("main")), "the system page is empty");
    await page.context().close();
  },
};

if (!BASE) {
  console.error("Set BASE_URL to the address of a running server, such as http://127.0.0.1:8000");
  process.exit(1);
}
const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ["--no-sandbox"] });
try {
  for (const [name, drive] of Object.entries(steps)) {
    step = name;
    const begun = performance.now();
    try {
      await drive(browser);
      console.log(`ok    ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (error) {
      console.log(`wrong ${name}`);
      wrong.push(`${name}: ${error.message}`);
      await stopRuns();
    }
  }
} finally {
  await browser.close();
}
for (const message of wrong) {
  console.error(`browser: ${message}`);
}
process.exit(wrong.length > 0 ? 1 : 0);
