// What becomes of a page that watches a run, or a turn of agents, when the network goes, the server is killed or
// the computer sleeps: no word is lost or comes twice, and the page says what happens. And how often it changes.
//
//   npm ci && BENCHMARKER=../../target/debug/ollama-benchmarker CHROMIUM=/usr/bin/chromium node reconnect.mjs
//
// It starts servers of its own. Exit 0: all well; 1: something is wrong, and named.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { askAgents, check, drive, ended, open, run, useServer } from "./shared.mjs";

const PROGRAM = resolve(process.env.BENCHMARKER ?? "../../target/debug/ollama-benchmarker");
// Long enough that no machine is too slow to look at it: it is stopped when all has been seen.
const LONG = "script:tokens=20000,ttft=50,gap=20@reference";
const QUICK = "script:tokens=20,ttft=5,gap=1@reference";
const ONCE = { Measuring: { repetitions: "1", warmup: "0" } };
// A lost connection is told on the console by the browser itself, and by htmx, whose strip asks on.
const tolerated = /net::ERR_|^htmx:/;

const folder = mkdtempSync(join(tmpdir(), "reconnect-"));
let server = null;
let direct = "";

/** Starts the program on a port, 0 for any, and waits until it serves. */
async function serve(port) {
  server = spawn(PROGRAM, ["serve", "--port", String(port)], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      DATABASE_URL: "sqlite:page.db",
      OLLAMA_HOST: "127.0.0.1:9",
      BENCHMARKER_CALIBRATION__AUTOMATIC: "false",
      BENCHMARKER_SAMPLING__BASELINE: "0.05",
      NO_COLOR: "1",
    },
  });
  for await (const line of createInterface({ input: server.stderr })) {
    const address = /serving on (http:\S+)/.exec(line)?.[1];
    if (address) {
      server.stderr.resume();
      return address;
    }
  }
  throw new Error("the server did not start");
}

/** Ends the server at once, as a power cut would. */
async function kill() {
  const ended = new Promise((told) => server.once("exit", told));
  server.kill("SIGKILL");
  await ended;
}

process.on("exit", () => {
  server?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Asks the server itself, whatever becomes of the network. */
async function ask(path) {
  return (await fetch(direct + path)).json();
}

/** The network between the page and the server. */
const network = {
  isCut: false,
  /** What the server sends comes event by event, and not as much at once as it sends. */
  drips: false,
  pairs: new Set(),

  /** Its address, which leads to the server. */
  async open() {
    const listener = createServer((page) => {
      if (this.isCut) {
        page.destroy();
        return;
      }
      const there = connect(new URL(direct).port, "127.0.0.1");
      const pair = { page, there, isDead: false };
      this.pairs.add(pair);
      for (const [from, to] of [[page, there], [there, page]]) {
        let sent = Promise.resolve();
        from.on("data", (bytes) => {
          const parts = this.drips ? bytes.toString("latin1").split(/(?<=\n\n)/) : [bytes.toString("latin1")];
          for (const part of parts) {
            sent = sent.then(() => this.drips && new Promise((over) => setTimeout(over, 15)));
            sent = sent.then(() => pair.isDead || to.write(part, "latin1"));
          }
        });
        from.on("error", () => {});
        from.on("close", () => {
          if (!pair.isDead) {
            sent.then(() => to.end());
            this.pairs.delete(pair);
          }
        });
      }
    });
    await new Promise((told) => listener.listen(0, "127.0.0.1", told));
    return `http://127.0.0.1:${listener.address().port}`;
  },

  /** Every connection breaks, and none can be made until it is mended. */
  cut() {
    this.isCut = true;
    this.pairs.forEach(({ page, there }) => [page, there].forEach((it) => it.destroy()));
  },

  mend() {
    this.isCut = false;
  },

  /** The connections that there are carry nothing any more, and nobody is told. */
  die() {
    this.pairs.forEach((pair) => {
      pair.isDead = true;
    });
  },
};

const idOf = (address) => new URL(address).pathname.split("/").pop();

/** The text that is shown once it is longer than so many characters. */
async function longer(page, selector, than) {
  const shown = await page.waitForFunction(([where, length]) => {
    const text = document.querySelector(where)?.textContent ?? "";
    return text.length > length && text;
  }, [selector, than]);
  return shown.jsonValue();
}

/** Goes through a loss while text comes; what is shown a while afterwards. */
async function through(page, selector, lose) {
  const before = await longer(page, selector, 50);
  await lose();
  const after = await longer(page, selector, before.length + 50);
  check(after.startsWith(before), "the text that was there is not the begin of the text that is");
  return after;
}

const lostIs = (page, is) => page.waitForSelector("#lost", { state: is ? "visible" : "hidden" });

/** Without a network for a moment that the page notices. */
async function withoutNetwork(page, lost) {
  await page.context().setOffline(true);
  network.cut();
  await lostIs(page, true);
  await page.waitForSelector(lost);
  network.mend();
  await page.context().setOffline(false);
  await lostIs(page, false);
  check((await page.textContent("#announcement")) !== (await page.textContent("#lost")), "the page does not say that the connection is back");
}

/** The computer of the page sleeps, and its connections are no more when it wakes up. */
async function asleep(browser) {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  const own = processInfo.filter(({ type }) => type === "renderer" || type.startsWith("utility"));
  own.forEach(({ id }) => process.kill(id, "SIGSTOP"));
  try {
    network.cut();
    network.mend();
    await new Promise((over) => setTimeout(over, 1000));
  } finally {
    own.forEach(({ id }) => process.kill(id, "SIGCONT"));
  }
  await devtools.detach();
}

/** Hours go by, and nobody told the page that its connection is dead. */
async function dead(page) {
  network.die();
  await page.clock.fastForward("10:00:00");
}

/** Stops a run; its stored answer begins with what the page showed, and so does what the page shows now. */
async function stopped(page, shown) {
  await page.click("text=Stop");
  await ended(page);
  const { results } = await ask(`/api/benchmarks/history/${idOf(page.url())}`);
  check(results.length === 1, `${results.length} results are stored`);
  check(results[0].response.startsWith(shown), "the page showed other text than came");
}

/** Ends a turn, whose stored answer begins with what the page showed. */
async function stoppedTurn(page, shown) {
  await page.click(".stop button");
  await page.waitForSelector(".turn:has-text('model servers were closed')");
  check((await page.textContent(".turn .answer")).startsWith(shown), "the page showed other text than came");
}

const steps = {
  async "a thousand chunks a second, at most 20 changes"(browser) {
    const page = await open(browser);
    await page.addInitScript(() => {
      window.changes = [];
      document.addEventListener("DOMContentLoaded", () => {
        const live = document.getElementById("live");
        const what = { subtree: true, childList: true, characterData: true, attributes: true };
        if (live) {
          new MutationObserver(() => window.changes.push(performance.now())).observe(live, what);
        }
      });
    });
    network.drips = true;
    const fast = "script:tokens=20000,ttft=5,gap=1@reference";
    const others = "script:tokens=20000,ttft=6,gap=1@reference";
    await run(page, { prompt: "x", models: [], byHand: `${fast} ${others}`, options: { Measuring: { repetitions: "1", warmup: "0", execution: "concurrent" } } });
    await page.waitForFunction(() => window.changes.length > 60);
    const shown = await longer(page, ".live-model .answer", 1000);
    const changes = await page.evaluate(() => window.changes);
    network.drips = false;
    let most = 0;
    changes.forEach((from, first) => {
      most = Math.max(most, changes.slice(first).filter((at) => at < from + 1000).length);
    });
    check(most <= 20, `the page changed ${most} times in a second`);
    await page.click("text=Stop");
    await ended(page);
    const { results } = await ask(`/api/benchmarks/history/${idOf(page.url())}`);
    const first = results.find((it) => it.model === fast.replace("@reference", ""));
    // Of a long text the page shows the end.
    check(first.response.includes(shown.replace(/^…/, "")), "the page showed other text than came");
    await page.context().close();
  },

  async "a run, the network lost and found"(browser) {
    const page = await open(browser, { tolerated });
    await run(page, { prompt: "x", models: [], byHand: LONG, options: ONCE });
    const lose = () => withoutNetwork(page, ".live-model .state[data-state=lost]");
    await through(page, ".live-model .answer", lose);
    await stopped(page, await through(page, ".live-model .answer", lose));
    await page.context().close();
  },

  async "a run that ends while the network is lost"(browser) {
    const page = await open(browser, { tolerated });
    const address = await run(page, { prompt: "x", models: [], byHand: "script:tokens=60,ttft=50,gap=20@reference", options: { Measuring: { repetitions: "2", warmup: "0" } } });
    await longer(page, ".live-model .answer", 5);
    network.cut();
    let stored;
    do {
      stored = await ask(`/api/benchmarks/history/${idOf(address)}`);
    } while (stored.status === "running");
    await lostIs(page, true);
    network.mend();
    await ended(page);
    check((await page.textContent("main")).includes(stored.results[0].response), "the result has not the stored answer");
    await page.context().close();
  },

  async "a run, asleep, and with a connection that died unheard"(browser) {
    const page = await open(browser, { tolerated });
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.clock.install();
    await run(page, { prompt: "x", models: [], byHand: LONG, options: ONCE });
    await through(page, ".live-model .answer", () => asleep(browser));
    const shown = await through(page, ".live-model .answer", () => dead(page));
    check(asked.filter((it) => /events\?after=\d+\.\d+$/.test(it)).length === 1, "the stream was not opened again after the last event");
    await stopped(page, shown);
    await page.context().close();
  },

  async "a server that tells all again from the start"(browser) {
    const page = await open(browser, { tolerated });
    const told = (name, data, id) => `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
    const started = (request, id) => told("request_started", { request, model_index: 0, repetition: request + 1, warmup: false }, id);
    const result = { response: "x", thinking: null, success: true, timing: { total_time: 1, time_to_first_chunk: 0.5 }, throughput: { output_tokens_per_second: 1 } };
    const all = (text) => told("run_started", { total_requests: 2 }, "0.1") + started(0, "0.2")
      + told("request_finished", { request: 0, model_index: 0, finished: 1, total: 2, result }, "1.0") + started(1, "1.1")
      + told("text_arrived", { request: 1, model_index: 0, text, thinking: "", chunks: 1, time_to_first_chunk: 0.5, offset: 0.5, chunks_per_second: null }, "1.2");
    let answers = 0;
    await page.route("**/api/benchmarks/*/events*", async (route) => {
      answers += 1;
      await route.fulfill({ contentType: "text/event-stream", body: all("one ") + all("one two ") });
    });
    await run(page, { prompt: "x", models: [], byHand: LONG, options: { Measuring: { repetitions: "2", warmup: "0" } } });
    const shows = () => page.waitForFunction(() => document.querySelector(".live-model .answer").textContent === "one two "
      && document.querySelector(".live-model .request").textContent === "1 of 2 done");
    await shows();
    // The browser comes back by itself, and is told all once more.
    while (answers < 2) {
      await page.waitForTimeout(100);
    }
    await page.waitForTimeout(300);
    await shows();
    await page.unroute("**/api/benchmarks/*/events*");
    await page.click("text=Stop");
    await ended(page);
    await page.context().close();
  },

  async "a run, the server killed and started again"(browser) {
    const page = await open(browser, { tolerated });
    const address = await run(page, { prompt: "x", models: [], byHand: `${QUICK} ${LONG}`, options: ONCE });
    await longer(page, ".live-model:nth-of-type(2) .answer", 20);
    await page.waitForFunction(() => document.getElementById("finished").textContent === "1");
    await kill();
    await lostIs(page, true);
    check(/does not need this page/.test(await page.textContent("#lost")), "the page does not say what is lost");
    await serve(new URL(direct).port);
    await ended(page);
    check(page.url() === address, "the page leads elsewhere");
    const stored = await ask(`/api/benchmarks/history/${idOf(address)}`);
    check(stored.status === "interrupted" && stored.results.length === 1, `stored: ${stored.status}, ${stored.results.length} results`);
    const text = await page.textContent("main");
    check(/interrupted/.test(text) && text.includes(stored.status_reason), "the page does not say that the run was interrupted, and why");
    check(text.includes(stored.results[0].response), "the page has not the stored answer");
    await page.context().close();
  },

  async "agents, the network lost, asleep, and a connection that died unheard"(browser) {
    const page = await open(browser, { tolerated });
    await page.clock.install();
    await askAgents(page, { prompt: "x", model: LONG });
    await through(page, ".turn .answer", () => withoutNetwork(page, ".agent .state[data-state=lost]"));
    await through(page, ".turn .answer", () => asleep(browser));
    await stoppedTurn(page, await through(page, ".turn .answer", () => dead(page)));
    await page.context().close();
  },

  async "agents, the server killed and started again"(browser) {
    const page = await open(browser, { tolerated });
    const address = await askAgents(page, { prompt: "x", model: LONG });
    // Drafts of an answer are stored now and then.
    const shown = await longer(page, ".turn .answer", 300);
    await kill();
    await lostIs(page, true);
    await serve(new URL(direct).port);
    await page.waitForSelector(".status.interrupted");
    await lostIs(page, false);
    const { response } = await ask(`/api/nova/sessions/${idOf(address)}/turns/1`);
    check(response.status === "interrupted", `the turn is ${response.status}`);
    const kept = await page.textContent(".turn .answer");
    check(kept === response.text, "the page has not what is stored");
    check(kept.startsWith(shown) || shown.startsWith(kept), "the page showed other text than came");
    check((await page.textContent(".turn")).includes("the program ended"), "the page does not say what happened");
    await page.context().close();
  },
};

direct = await serve(0);
useServer(await network.open());
await drive(steps);
