// What a page weighs, what is loaded again, and what moves under a reader's eyes.
import { BASE, SCREENS, check, ended, open, start } from "./shared.mjs";

/** A first visit of any page takes less, bytes as they are sent. */
const MOST_OF_A_VISIT = 100_000;
/** Before anything is painted so much is needed, bytes as they are sent. */
const MOST_BEFORE_PAINT = 40_000;
/** Parts of a page move less, as a share of the screen times the share of the way (Layout Instability, section 2.3). */
const MOST_SHIFT = 0.01;

/** Bytes that come over the network for each address from now on. */
async function weigh(page) {
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  const [addresses, bytes] = [new Map(), new Map()];
  network.on("Network.requestWillBeSent", ({ requestId, request }) => addresses.set(requestId, request.url.slice(BASE.length)));
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const address = addresses.get(requestId);
    if (encodedDataLength > 0) {
      bytes.set(address, (bytes.get(address) ?? 0) + encodedDataLength);
    }
  });
  return bytes;
}

const sum = (bytes) => [...bytes.values()].reduce((sum, one) => sum + one, 0);

const settled = async (page, path) => {
  await page.goto(BASE + path, { waitUntil: "load" });
  await page.waitForSelector("#system-strip .gauges");
};

const moved = (page) => page.shifts.reduce((sum, { value }) => sum + value, 0);
const movers = (page) => page.shifts.map(({ value, moved }) => `${value.toFixed(4)} ${moved.join(", ")}`).join("; ");

export default {
  async "a first visit is light, and the next loads no file again"(browser) {
    const run = await start({ prompt: "Weight", models: ["steady@reference", "bursty@reference"], repetitions: 5 });
    for (const path of ["/", `/runs/${run}`, "/history", "/statistics", `/compare?ids=${run}`, "/trend?model=steady@reference", "/nova"]) {
      const page = await open(browser);
      const bytes = await weigh(page);
      await settled(page, path);
      console.log(`      ${sum(bytes)} bytes for a first visit of ${path}`);
      check(sum(bytes) < MOST_OF_A_VISIT, `a first visit of ${path} takes ${sum(bytes)} bytes`);
      const blocking = await page.evaluate(() => performance.getEntriesByType("resource").filter((it) => it.renderBlockingStatus === "blocking").map((it) => new URL(it.name).pathname));
      check(blocking.length === 1 && blocking[0].endsWith(".css"), `before ${path} is painted it waits for ${blocking}`);
      const before = (bytes.get(path) ?? 0) + (bytes.get(blocking[0]) ?? 0);
      check(before > 0 && before < MOST_BEFORE_PAINT, `before ${path} is painted ${before} bytes are needed`);
      const first = new Set(bytes.keys());
      bytes.clear();
      await settled(page, path);
      await settled(page, "/history");
      // The browser takes the icon when it has time, which may be after the first visit.
      const isLate = (it) => it.endsWith("/icon.svg") && !first.has(it);
      const again = [...bytes.keys()].filter((it) => it.startsWith("/assets/") && !isLate(it));
      check(again.length === 0 && bytes.has("/history"), `a second visit of ${path} loads again ${again}`);
      await page.context().close();
    }
  },

  async "nothing moves while a page loads"(browser) {
    const run = await start({ prompt: "Rest", models: ["steady@reference", "bursty@reference"] });
    for (const [screen, viewport] of Object.entries(SCREENS)) {
      const page = await open(browser, { viewport });
      for (const path of ["/", `/runs/${run}`, "/history", "/nova"]) {
        page.shifts.length = 0;
        await settled(page, path);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        check(moved(page) < MOST_SHIFT, `${path} moves by ${moved(page)} on a ${screen}: ${movers(page)}`);
      }
    }
  },

  async "nothing moves while a run goes on"(browser) {
    for (const [screen, viewport] of Object.entries(SCREENS)) {
      const page = await open(browser, { viewport });
      const thinking = "script:tokens=60,thinking=30,ttft=300,gap=10@reference";
      // It is watched from before its beginning: it waits behind another one.
      const other = await start({ models: ["script:tokens=9999,gap=20@reference"] }, { wait: false });
      const id = await start({ models: ["steady@reference", thinking], repetitions: 2, execution: "concurrent" }, { wait: false });
      await page.goto(`${BASE}/runs/${id}`);
      await page.waitForSelector("#phase:has-text('queue')");
      await fetch(`${BASE}/api/benchmarks/${other}/cancel`, { method: "POST" });
      await ended(page);
      check(moved(page) < MOST_SHIFT, `a run moves by ${moved(page)} on a ${screen}: ${movers(page)}`);
    }
  },
};
