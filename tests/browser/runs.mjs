// A run and what can come between: stopping, mistakes, silence, saved prompts, text that wants to be more.
import { BASE, HOSTILE, ONCE, SCREENS, check, ended, lead, open, run } from "./shared.mjs";

export default {
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
    await ended(page);
    check(/tokens/.test(await page.textContent("h1.headline")), "the result has no sentence");
    // Four of the run, and a box and a curve for each of three figures.
    check((await page.locator("svg.chart").count()) === 4 + 2 * 3, "the result has not ten drawings");
    await lead(page, ".figures-table a.term >> text=First chunk");
    check(/From sending the request/.test(await page.textContent(":target")), "a figure does not lead to its meaning");
    await page.goBack();
    check((await page.locator(".figures-table tbody tr").count()) === 2, "the table has not two rows");
    const drawn = await page.locator("svg.chart path.line").evaluateAll((lines) => lines.filter((line) => line.getBBox().width > 1).length);
    check(drawn >= 4, `only ${drawn} lines are drawn`);
    await page.click("section:has(#race-title) summary");
    check(await page.locator("table:has-text('Of the answer')").isVisible(), "the table of a drawing does not open");
    await lead(page, "text=Compare its models");
    check(/Everything is compared with/.test(await page.textContent("main")), "the models cannot be compared");
  },

  async "stop, and a page loaded in the middle"(browser) {
    const page = await open(browser);
    await run(page, { prompt: "x", byHand: "script:tokens=3000,ttft=300,gap=20@reference", options: ONCE });
    const longer = (than) => page.waitForFunction((length) => document.querySelector(".live-model .answer").textContent.length > length, than);
    await longer(50);
    const seen = (await page.textContent(".live-model .answer")).length;
    await page.reload();
    await longer(seen);
    check(!/–/.test(await page.textContent(".live-model .first")), "the time to the first chunk is lost by loading again");
    await page.waitForSelector(".live-model .state:has-text('writing')");
    await page.click("text=Stop");
    await ended(page);
    check(/cancelled/.test(await page.textContent(".status")), "the run was not cancelled");
  },

  async "stuck looks other than slow"(browser) {
    // Where there is least room: what is told must not move what is read below it.
    const page = await open(browser, { viewport: SCREENS.phone });
    await page.clock.install();
    const state = async (name) => {
      await page.waitForSelector(`.state[data-state=${name}]`);
      return page.locator(".live-model .state").evaluate((it) => it.offsetHeight);
    };
    await run(page, { prompt: "x", byHand: "script:tokens=3,ttft=60000@reference", options: ONCE });
    const room = await state("loading");
    await page.clock.fastForward("00:40");
    check((await state("slow")) === room, "a first chunk that takes long moves the page");
    await page.click("text=Stop");
    await ended(page);
    await run(page, { prompt: "x", byHand: "script:tokens=3,ttft=20,gap=60000@reference", options: ONCE });
    check((await state("stuck")) === room, "a model that is stuck moves the page");
    await page.click("text=Stop");
    await ended(page);
  },

  async "mistakes beside their field"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", "kept");
    await page.click("summary:has-text('Measuring')");
    await page.fill("#repetitions", "many");
    // The answer is a page with status 422, which the console reports as a failed load.
    page.tolerated = /status of 422/;
    await page.click("button.big");
    await page.waitForSelector("#repetitions-error");
    check((await page.inputValue("#prompt")) === "kept", "the prompt is lost");
    check((await page.inputValue("#repetitions")) === "many", "the mistake is lost");
    check(await page.locator("#repetitions").isVisible(), "the field with the mistake is folded away");
  },

  async "saved prompts"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/`);
    await page.fill("#prompt", `Saved ${HOSTILE}`);
    await page.click("summary:has-text('Save this prompt')");
    await page.fill("#prompt_name", HOSTILE);
    await page.click("text=Save prompt");
    await page.waitForSelector(".done:has-text('Saved as')");
    check(page.url() === `${BASE}/`, "saving a prompt leaves the page");
    await page.fill("#prompt", "another");
    await page.click(".saved .link");
    await page.waitForFunction(() => document.getElementById("prompt").value.startsWith("Saved <script>"));
    await page.click(".saved .ask summary");
    await page.click("text=Delete for good");
    await page.waitForSelector(".done:has-text('Deleted')");
  },

  async "hostile text stays text"(browser) {
    const page = await open(browser);
    await run(page, {
      prompt: HOSTILE,
      byHand: "fault-hostile@reference fault-hostile-error@reference",
      options: { ...ONCE, "Name and tags": { name: HOSTILE, tags: "<b>tag</b>" } },
    });
    await ended(page);
    const id = page.url().split("/").pop();
    for (const path of [`/runs/${id}`, "/history", `/?from=${id}`, `/runs/${id}/delete`]) {
      await page.goto(BASE + path);
      check((await page.title()) !== "owned", `${path} ran a script of the run's name`);
      check((await page.locator("main script, main img").count()) === 0, `${path} made elements of hostile text`);
      check((await page.textContent("main")).includes("<script>") || (await page.inputValue("#prompt")).includes("<script>"), `${path} does not show the text`);
    }
  },
};
