// The main ways through the house, from the first run to the last answer of the agents: on each screen by mouse or
// finger, and by keyboard alone.
import { BASE, Keyboard, Pointer, SCREENS, check, ended, open, start } from "./shared.mjs";

const ENDLESS = "script:tokens=9999,gap=20@reference";

/** Ticks these models and no other. */
async function choose(page, hand, models) {
  for (const box of await page.locator("input[name=models]").all()) {
    const value = await box.inputValue();
    if ((await box.isChecked()) !== models.includes(value)) {
      await hand.tick(`input[name=models][value="${value}"]`);
    }
  }
}

const written = (page) => page.waitForFunction(() => document.querySelector(".live-model .answer").textContent.length > 20);

async function measureAndStop(page, hand, name) {
  await page.goto(`${BASE}/`);
  await hand.write("#prompt", `Why is the sky blue? ${name}`);
  await choose(page, hand, ["steady@reference", "bursty@reference"]);
  await hand.press("details:has(#repetitions) > summary");
  await hand.write("#repetitions", "1");
  await hand.press("button.big");
  await page.waitForURL(/\/runs\/[0-9a-f]{24}$/);
  await ended(page);
  check(/completed/.test(await page.textContent(".status")), "the run did not complete");
  await hand.press('.actions a[href^="/?from="]');
  await page.waitForSelector("#prompt");
  await choose(page, hand, []);
  await hand.press("details:has(#more_models) > summary");
  await hand.write("#more_models", ENDLESS);
  await hand.press("button.big");
  await page.waitForURL(/\/runs\/[0-9a-f]{24}$/);
  await written(page);
  await hand.press(".head form button");
  await ended(page);
  check(/cancelled/.test(await page.textContent(".status")), "the run was not stopped");
}

async function findAndCompare(page, hand, name) {
  for (let run = 0; run < 2; run += 1) {
    await start({ prompt: `Find ${name}`, models: ["steady@reference", "bursty@reference"] });
  }
  await page.goto(BASE);
  if (hand instanceof Keyboard) {
    await page.keyboard.press("Tab");
    check(await page.evaluate(() => document.activeElement.matches(".skip")), "the first stop of the keyboard is not the skip link");
  }
  await hand.press('nav a[href="/history"]');
  await page.waitForURL(/\/history$/);
  await hand.write("#filter-q", `find ${name}`);
  await hand.press(".filters button");
  await page.waitForURL(/q=/);
  check((await page.locator("tbody tr").count()) === 2, "not both runs are found");
  await hand.press('th a[href*="sort=time%5Fto%5Ffirst%5Fchunk"]');
  await page.waitForSelector("th[aria-sort=ascending]:has-text('First chunk')");
  await page.waitForLoadState();
  check(page.url().includes("find"), "sorting loses the filter");
  await hand.press(".choose-all");
  check((await page.locator("tbody input:checked").count()) === 2, "choosing all does not choose all");
  await hand.press(".actions button:first-child");
  await page.waitForURL(/\/compare\?/);
  check(/compared/.test(await page.textContent("main")), "there is no comparison");
  await page.goBack();
  await page.waitForSelector("tbody tr a.step");
  await hand.press("tbody tr a.step");
  await page.waitForURL(/\/trend\?/);
  await hand.press('nav a[href="/statistics"]');
  await page.waitForURL(/\/statistics/);
  await hand.tick('input[value="steady@reference"]');
  await hand.tick('input[value="bursty@reference"]');
  await hand.press('form[action="/compare"] button');
  await page.waitForURL(/\/compare\?models=/);
}

async function takeAway(page, hand, name) {
  const shown = `${BASE}/history?q=${encodeURIComponent(`Away ${name}`)}`;
  for (let run = 0; run < 2; run += 1) {
    await start({ prompt: `Away ${name}`, models: ["script:tokens=4,ttft=1,gap=1@reference"] });
  }
  await page.goto(shown);
  await hand.press("tbody tr:first-child a[href$='/delete']");
  await page.waitForURL(/\/delete$/);
  check(/Delete this benchmark\?/.test(await page.textContent("h1")), "deleting does not ask");
  await hand.press("main a.button");
  await ended(page);
  await page.goto(shown);
  check((await page.locator("tbody tr").count()) === 2, "a run that was kept is gone");
  await hand.tick("tbody tr:first-child input");
  await hand.press(".actions button.danger");
  await page.waitForURL(/\/history\/delete\?/);
  await hand.press("main button.danger");
  await page.waitForSelector("main .done");
  await page.goto(shown);
  check((await page.locator("tbody tr").count()) === 1, "a run that was deleted is still there");
}

async function askAndStop(page, hand) {
  await page.goto(BASE);
  await hand.press('nav a[href="/nova"]');
  await page.waitForURL(/\/nova$/);
  await hand.write("#prompt", "A bridge?");
  await hand.press("details:has(#other_model) > summary");
  await hand.write("#other_model", ENDLESS);
  await hand.press("#ask button.big");
  await page.waitForURL(/\/nova\/[0-9a-f]{24}#turn-1$/);
  await page.waitForFunction(() => document.querySelector(".turn .answer")?.textContent.length > 10);
  await hand.press(".stop button");
  await page.waitForSelector(".where");
}

const PARTS = { "a run and its end": measureAndStop, "finding and comparing": findAndCompare, "taking away": takeAway, "asking agents": askAndStop };
/** Not every part on every screen: what differs between them is little, and each way costs its time. */
const WAYS = {
  phone: { keyboard: ["a run and its end", "asking agents"], finger: Object.keys(PARTS) },
  tablet: { keyboard: ["finding and comparing"], finger: ["a run and its end", "finding and comparing"] },
  desk: { keyboard: ["a run and its end", "taking away"], mouse: Object.keys(PARTS) },
};

const stories = {};
for (const [screen, ways] of Object.entries(WAYS)) {
  const schemes = screen === "tablet" ? ["dark", "light"] : ["light", "dark"];
  for (const [index, [by, parts]] of Object.entries(ways).entries()) {
    const colorScheme = schemes[index];
    stories[`by ${by} on a ${screen}, ${colorScheme}`] = async (browser) => {
      const page = await open(browser, { viewport: SCREENS[screen], colorScheme, hasTouch: by === "finger" });
      const hand = by === "keyboard" ? new Keyboard(page) : new Pointer(page, by === "finger");
      for (const part of parts) {
        await PARTS[part](page, hand, `${by} ${screen}`);
      }
    };
  }
}

export default stories;
