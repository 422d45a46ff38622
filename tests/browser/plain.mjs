// The same without scripts: forms post, pages load themselves again until there is something to see.
import { BASE, ONCE, check, ended, lead, open, run } from "./shared.mjs";

export default {
  async "without scripts, from a run to its end"(browser) {
    const page = await open(browser, { javaScriptEnabled: false });
    const address = await run(page, { prompt: "Without scripts", models: ["bursty@reference"], options: ONCE });
    await page.reload();
    await ended(page);
    check(page.url() === address, "the run page leads elsewhere");
    check((await page.locator("svg.chart path.line").count()) > 0, "nothing is drawn without scripts");
    await page.click("text=Run again");
    await page.waitForURL((it) => it.pathname.startsWith("/runs/") && it.href !== address);
    await ended(page);
    await lead(page, "nav >> text=History");
    await page.fill("#filter-q", "without scripts");
    await lead(page, ".filters button");
    check((await page.locator("tbody tr").count()) === 2, "the runs are not found without scripts");
    await lead(page, "a.choose-all");
    check((await page.locator("tbody input:checked").count()) === 2, "all are not chosen without scripts");
    await lead(page, "text=Compare chosen");
    check(/compared/.test(await page.textContent("main")), "nothing is compared without scripts");
    await page.goto(address);
    await lead(page, "text=Delete…");
    await lead(page, "text=Delete for good");
    check(/[Dd]eleted/.test(await page.textContent("main .done")), "deleting says nothing without scripts");
    await page.goto(`${BASE}/ui/system`);
    check(/Database/.test(await page.textContent("main")), "the system page is empty");
  },

  async "without scripts, prompts are saved and runs stopped"(browser) {
    const page = await open(browser, { javaScriptEnabled: false });
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", "Kept without scripts");
    await page.click("summary:has-text('Save this prompt')");
    await lead(page, "text=Save prompt");
    await lead(page, ".saved .link:has-text('Kept without')");
    check((await page.inputValue("#prompt")) === "Kept without scripts", "a saved prompt is not taken");
    await page.click(".saved li:has-text('Kept without') summary");
    await lead(page, ".saved li:has-text('Kept without') button.danger");
    await run(page, { prompt: "x", byHand: "script:tokens=20000,ttft=20,gap=20@reference", options: ONCE });
    await page.click("text=Stop");
    await ended(page);
    check(/cancelled/.test(await page.textContent(".status")), "the run was not stopped without scripts");
  },

  async "without scripts, agents answer"(browser) {
    const page = await open(browser, { javaScriptEnabled: false });
    await page.goto(`${BASE}/nova`);
    await page.fill("#prompt", "x");
    await page.click("#ask button.big");
    await page.waitForSelector(".where");
    await page.waitForLoadState();
    check((await page.textContent(".turn .answer")).length > 10, "there is no answer without scripts");
  },
};
