// Drives the page in a real browser, as a person would. On the way it watches for what no page may do: errors on
// the console, requests to other hosts, breaches of the content security policy, markup that shuts people out,
// parts that move.
//
//   npm ci && BASE_URL=http://127.0.0.1:8000 PROGRAM=../../target/debug/ollama-benchmarker node page.mjs [STORY…]
//
// It needs a running server with nothing in it and no model. CHROMIUM names another browser than the system's; into the folder
// SCREENSHOTS goes a picture of every page in every state on every screen; a part of a story's name tells that one
// alone. Exit 0: all well; 1: something is wrong, and named.
import agents from "./agents.mjs";
import history from "./history.mjs";
import journeys from "./journeys.mjs";
import looks from "./looks.mjs";
import plain from "./plain.mjs";
import results from "./results.mjs";
import runs from "./runs.mjs";
import { BASE, clearScreenshots, launch, now, stopRuns, wrong } from "./shared.mjs";
import weight from "./weight.mjs";

const stories = { ...looks.first, ...runs, ...results, ...history, ...agents, ...journeys, ...plain, ...weight, ...looks.last };

if (!BASE || !process.env.PROGRAM) {
  console.error("Set BASE_URL to the address of a running server, such as http://127.0.0.1:8000, and PROGRAM to the path of the program");
  process.exit(1);
}
const chosen = process.argv.slice(2);
clearScreenshots();
const browser = await launch();
try {
  for (const [name, tell] of Object.entries(stories)) {
    if (chosen.length > 0 && !chosen.some((part) => name.includes(part))) {
      continue;
    }
    now.story = name;
    const [begun, before] = [performance.now(), wrong.length];
    try {
      await tell(browser);
    } catch (error) {
      wrong.push(`${name}: ${error.message}`);
      await stopRuns();
    }
    for (const context of browser.contexts()) {
      await context.close();
    }
    console.log(`${wrong.length > before ? "wrong" : "ok   "} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  }
} finally {
  await browser.close();
}
for (const message of wrong) {
  console.error(`browser: ${message}`);
}
process.exit(wrong.length > 0 ? 1 : 0);
