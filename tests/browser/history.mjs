// Finding runs again: filters, sorting, comparing, taking away.
import { BASE, check, open, start } from "./shared.mjs";

export default {
  async "history by links"(browser) {
    await start({ prompt: "Found by links", models: ["steady@reference", "bursty@reference"] });
    const page = await open(browser);
    await page.goto(`${BASE}/history`);
    await page.keyboard.press("Tab");
    check(await page.evaluate(() => document.activeElement.matches(".skip")), "the first stop of the keyboard is not the skip link");
    await page.fill("#filter-q", "by links");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=by/);
    const shown = page.url();
    check((await page.locator("tbody tr").count()) >= 1, "the run is not found again");
    await page.click("th a:has-text('First chunk')");
    await page.waitForSelector("th[aria-sort=ascending]:has-text('First chunk')");
    check(page.url().includes("links"), "sorting loses the filter");
    await page.goto(shown);
    await page.check("tbody tr >> nth=0 >> input");
    await page.click("text=Compare chosen");
    await page.waitForURL(/\/compare\?ids=/);
    await page.goto(shown);
    await page.click("tbody tr >> nth=0 >> text=Delete…");
    check(/Delete this benchmark\?/.test(await page.textContent("h1")), "deleting does not ask");
    await page.click("text=Keep it");
    await page.waitForSelector("h1.headline");
  },
};
