// Drives the page in a real browser, as a person would. On the way it watches for what no page may do: errors on
// the console, requests to other hosts, breaches of the content security policy, markup that shuts people out,
// parts that move.
//
//   npm ci && BASE_URL=http://127.0.0.1:8000 BENCHMARKER=../../target/debug/ollama-benchmarker node page.mjs [WORD…]
//
// It needs a running server without Ollama, and the program to start others. CHROMIUM names another browser than the
// system's; into the folder SCREENSHOTS goes a picture of every page in every state on every screen; words choose the
// stories that have one of them in their name. Exit 0: all well; 1: something is wrong, and named.
import agents from "./agents.mjs";
import journeys from "./journeys.mjs";
import looks from "./looks.mjs";
import plain from "./plain.mjs";
import results from "./results.mjs";
import runs from "./runs.mjs";
import { clearScreenshots, drive } from "./shared.mjs";
import weight from "./weight.mjs";

clearScreenshots();
await drive({ ...looks.first, ...runs, ...results, ...agents, ...journeys, ...plain, ...weight, ...looks.last });
