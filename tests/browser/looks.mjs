// Every page in every state, on each screen, in light and dark: whether axe finds anything, whether it fits, and a
// picture of it for somebody to look at.
import { createServer } from "node:http";
import { BASE, HOSTILE, check, ended, leave, look, open, serve, start } from "./shared.mjs";

const ENDLESS = "script:tokens=20000,ttft=20,gap=20@reference";
const QUICK = "script:tokens=8,ttft=5,gap=1@reference";
/** Looks go on side by side on so many pages. */
const SIDE_BY_SIDE = 2;

/** Looks at each path under its name. */
async function lookAt(browser, paths, options = {}) {
  const waiting = Object.entries(paths);
  const base = options.base ?? BASE;
  const worker = async () => {
    const page = await open(browser, options);
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await page.goto(base + next[1]);
      await look(page, next[0]);
    }
    await page.context().close();
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
}

/** As much of an Ollama as the run page asks for. Until it is told which models it has, it answers nobody. */
async function ollama() {
  let answers = null;
  const server = createServer((request, response) => {
    if (answers === null) {
      request.socket.destroy();
      return;
    }
    const answer = answers[request.url];
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { error: "not here" }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    host: `127.0.0.1:${server.address().port}`,
    has: (names) => {
      answers = answersWith(names);
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function answersWith(names) {
  const models = names.map((name, index) => ({
    name,
    model: name,
    size: (index + 1) * 1_300_000_000,
    digest: String(index).padStart(64, "0"),
    modified_at: "2026-01-01T00:00:00Z",
    details: { family: "llama", parameter_size: `${index + 1}.2B`, quantization_level: "Q4_K_M" },
  }));
  return { "/api/tags": { models }, "/api/ps": { models: models.slice(0, 1) }, "/api/version": { version: "0.9.0" }, "/api/show": { capabilities: ["completion"], model_info: {} } };
}

const first = {
  async "a first visit, then one model, then ten"(browser) {
    const models = await ollama();
    const { base, stop } = await serve({ OLLAMA_HOST: models.host });
    try {
      const page = await open(browser, { base });
      await page.goto(base);
      check(/Ollama does not answer/.test(await page.textContent("main")), "it is not told that there is no model server");
      await lookAt(browser, {
        "first visit, run, no model server": "/",
        "first visit, history": "/history",
        "first visit, statistics": "/statistics",
        "first visit, nova": "/nova",
        "first visit, system": "/ui/system",
      }, { base });
      for (const names of [["llama3.2:1b"], Array.from({ length: 10 }, (_, index) => `family/model-with-a-long-name-${index}:8b-instruct-q4_K_M`)]) {
        models.has(names);
        await page.waitForFunction(async (count) => {
          const text = await (await fetch("/")).text();
          return text.split('@ollama"').length - 1 === count;
        }, names.length);
        await lookAt(browser, { [`run, ${names.length} of Ollama's models`]: "/" }, { base });
      }
    } finally {
      await leave(browser);
      models.close();
      await stop();
    }
  },

  async "a token is asked for"(browser) {
    const { base, stop } = await serve({ OLLAMA_HOST: "127.0.0.1:9", BENCHMARKER_API_TOKEN: "open-sesame" });
    try {
      const page = await open(browser, { base });
      await page.goto(`${base}/history`);
      check(page.url().startsWith(`${base}/login?`), "nobody is asked for the token");
      await look(page, "login");
      page.tolerated = /status of 422/;
      await page.keyboard.type("friend");
      await page.keyboard.press("Enter");
      await page.waitForSelector("#token-error");
      await look(page, "login, wrong token");
      await page.fill("#token", "open-sesame");
      await page.click("main button");
      await page.waitForURL(`${base}/history`);
      await page.waitForSelector("#system-strip .gauges");
    } finally {
      await leave(browser);
      await stop();
    }
  },
};

const last = {
  async "runs that go on, on every screen"(browser) {
    const running = await start({ prompt: "Why is the sky blue?", models: [ENDLESS, "script:tokens=20000,thinking=4000,ttft=20,gap=20@reference"], execution: "concurrent" }, { wait: false });
    const queued = await start({ prompt: "The next one", models: [QUICK] }, { wait: false });
    const page = await open(browser);
    await page.goto(`${BASE}/runs/${running}`);
    await page.waitForFunction(() => document.querySelector(".live-model .answer").textContent.length > 200);
    await look(page, "live, two models");
    await lookAt(browser, { "live, queued": `/runs/${queued}`, "delete, going on": `/runs/${running}/delete`, "history, going on": "/history?q=sky" });
    await page.goto(`${BASE}/runs/${running}`);
    await page.click("text=Stop");
    await ended(page);
    await lookAt(browser, { "result, cancelled": `/runs/${running}` });
  },

  async "results on every screen"(browser) {
    const models = ["steady@reference", "thinking@reference", "bursty@reference"];
    const several = await start({ prompt: "Why is the sky blue?", models, repetitions: 5, tags: ["night", "cpu"] });
    const again = await start({ prompt: "Why is the sky blue?", models, repetitions: 5 });
    const failed = await start({ prompt: HOSTILE, name: HOSTILE, models: ["fault-truncated@reference"], repetitions: 2 });
    const partial = await start({ prompt: "Half", models: [QUICK, "fault-truncated@reference"] });
    const loaded = await start({ prompt: "Load", models: ["script:tokens=4,ttft=5,gap=1,slots=2@reference"], load: { pattern: "sweep", duration: 1 } });
    await lookAt(browser, {
      "result, three models": `/runs/${several}`,
      "result, failed": `/runs/${failed}`,
      "result, partial": `/runs/${partial}`,
      "result, load": `/runs/${loaded}`,
      "compare, models of a run": `/compare?ids=${several}`,
      "compare, two runs": `/compare?ids=${several},${again}`,
      "compare, empty": "/compare",
      "run, changed": `/?from=${several}`,
      "delete": `/runs/${several}/delete`,
      "trend": "/trend?model=steady@reference",
      "trend, empty": "/trend",
      "delete several": `/history/delete?ids=${several}&ids=${again}`,
    });
  },

  async "lists on every screen"(browser) {
    await lookAt(browser, {
      "history": "/history",
      "history, nothing fits": "/history?q=nothing+has+this",
      "statistics": "/statistics",
      "figures": "/figures",
      "system": "/ui/system",
    });
    const page = await open(browser);
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", "Saved for the pictures");
    await page.click("summary:has-text('Save this prompt')");
    await page.click("text=Save prompt");
    await page.waitForSelector(".done:has-text('Saved as')");
    await look(page, "run, with a saved prompt");
  },

  async "mistakes on every screen"(browser) {
    const page = await open(browser);
    page.tolerated = /status of 4/;
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", "");
    await page.click("summary:has-text('Measuring')");
    await page.fill("#repetitions", "many");
    await page.click("button.big");
    await page.waitForSelector("#repetitions-error");
    await look(page, "run, with mistakes");
    await lookAt(browser, {
      "no such page": "/nowhere",
      "no such run": "/runs/000000000000000000000000",
      "history, with mistakes": "/history?from=yesterday&limit=0",
      "compare, refused": "/compare?ids=000000000000000000000000,000000000000000000000001",
    }, { tolerated: /status of 4/ });
  },

  async "agents on every screen"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/nova`);
    const sessions = await page.locator("#sessions li > a").evaluateAll((links) => links.map((it) => it.getAttribute("href")));
    check(sessions.length >= 3, "sessions are not listed");
    const whole = sessions.at(-1);
    await lookAt(browser, {
      "nova": "/nova",
      "nova, asking": sessions[0],
      "nova, session": whole,
      "nova, turn": `${whole}/turns/1`,
      "nova, delete": `${whole}/delete`,
      "nova, benchmark": `${whole}/benchmark`,
    });
  },
};

export default { first, last };
