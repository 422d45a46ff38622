// Agents in front of a model: at work, stopped, asking, and what stays of it.
import { BASE, HOSTILE, SCREENS, accessible, askAgents, check, ended, look, open } from "./shared.mjs";

export default {
  async "agents at work, side by side, and their answer"(browser) {
    const page = await open(browser);
    await page.goto(`${BASE}/nova?example=1`);
    check((await page.inputValue("#prompt")).includes("piano"), "there is no example");
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
    // All at one moment: what they write moves them.
    const boxes = await page.locator(".agent:has-text('Expert: ')").evaluateAll((experts) => experts.map((it) => it.getBoundingClientRect().toJSON()));
    check(boxes.length >= 2 && boxes[0].y === boxes[1].y && boxes[0].x !== boxes[1].x, "experts are not side by side");
    await accessible(page, "agents at work");
    await page.waitForSelector(".where");
    check((await page.textContent(".turn .answer")).length > 50, "there is no answer");
    check(!(await page.locator(".steps").evaluate((it) => it.open)), "steps are not folded at the end");
    check((await page.title()) !== "owned" && (await page.locator("main script, main img").count()) === 0, "text became markup");
    await page.locator(".steps > summary").press("Enter");
    check((await page.locator(".steps tbody tr").count()) >= 8, "steps are missing");
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
    await ended(page);
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
    await look(page, "nova at work");
    await page.setViewportSize(SCREENS.desk);
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
  },
};
