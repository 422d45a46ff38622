// A conversation with agents. A turn that goes on is told from its start each time the page is loaded, and
// after the last event seen where only the connection broke, so neither loses anything. When it has ended,
// the server's own rendering takes its place.
"use strict";

(() => {
  const { AGAIN_AFTER, Chunks, SLOW_START, Text, announce, seconds, shown } = Pace;
  const page = document.getElementById("nova");
  const find = (id) => document.getElementById(id);
  const roles = JSON.parse(page.dataset.roles);
  const stages = JSON.parse(page.dataset.stages);
  const ask = find("ask");
  const prompt = find("prompt");
  let article = page.querySelector("[data-turn]");

  function agentTitle(role, name) {
    const at = name.indexOf(": ");
    return at < 0 ? roles[role] : `${roles[role]}: ${name.slice(at + 2)}`;
  }

  function placeTitle(stage, iteration) {
    if (iteration === null) {
      return stages[stage];
    }
    return `${stages[stage]}, ${stage === "execution" ? `step ${iteration} of the plan` : `round ${iteration}`}`;
  }

  class Agent {
    constructor(event, column) {
      const { firstElementChild } = find("agent-template").content.cloneNode(true);
      this.element = firstElementChild;
      this.title = agentTitle(event.role, event.agent_name);
      this.offset = event.offset;
      this.chunks = new Chunks();
      this.first = null;
      this.phase = "waiting";
      this.words = event.model ? "about to be asked" : "at work";
      this.isOver = false;
      this.part(".name").textContent = this.title;
      this.part(".model").textContent = event.model ?? "none";
      this.part(".text").setAttribute("aria-label", `${this.title}: what it writes`);
      this.part(".thinking").setAttribute("aria-label", `${this.title}: what it thinks`);
      this.part("summary").addEventListener("click", () => {
        this.isTouched = true;
      });
      this.thinking = new Text(this.part(".thinking"));
      this.text = new Text(this.part(".text"));
      this.answer = event.answers ? new Text(article.querySelector(".answer")) : null;
      this.answer?.set("");
      column.append(this.element);
    }

    part(name) {
      return this.element.querySelector(name);
    }

    state(name, words) {
      return Pace.state(this.part(".state"), name, words);
    }

    progress(event) {
      const others = event.position;
      const told = {
        queued: ["waiting", `waiting for ${others === 1 ? "another call" : `${others ?? "other"} other calls`} to end`],
        loading: ["loading", "the model is loaded"],
        prompt_eval: ["loading", "reading the prompt"],
        generating: ["writing", "writing"],
      }[event.phase];
      [this.phase, this.words] = told;
      if (event.phase === "loading" || event.phase === "prompt_eval") {
        this.asked = event.offset;
      }
    }

    token(event) {
      this.first ??= event.offset;
      this.chunks.came(event.offset, event.chunks);
      if (event.thinking) {
        this.part(".thoughts").hidden = false;
        this.thinking.add(event.thinking);
      }
      if (event.text && this.answer) {
        this.answer.element.parentElement.hidden = false;
        this.answer.element.hidden = false;
        this.answer.add(event.text);
      } else if (event.text) {
        this.text.element.hidden = false;
        this.text.add(event.text);
      }
      this.phase = event.text ? "writing" : "thinking";
      this.words = this.answer && event.text ? "writing the answer, below" : this.phase;
      this.part(".first").textContent = seconds(this.first - (this.asked ?? this.offset));
      const { rate } = this.chunks;
      if (rate !== null) {
        this.part(".rate").textContent = `${shown(rate)} chunks/s`;
      }
    }

    finished(step) {
      this.isOver = true;
      this.part(".elapsed").textContent = seconds(step.elapsed_time_ms / 1000);
      this.part(".first").textContent = seconds(step.timing.time_to_first_chunk);
      const rate = step.throughput.output_tokens_per_second;
      this.part(".rate").textContent = rate === null ? "–" : `${shown(rate)} tokens/s`;
      if (!this.answer && step.output) {
        this.text.element.hidden = false;
        this.text.set(step.output);
      }
      if (step.error) {
        this.state("failed", step.error.message);
      } else {
        const json = { repaired: ", JSON repaired", unreadable: ", JSON unreadable, asked again", fell_back: ", JSON unreadable, fell back" };
        const filled = step.prompt_truncated ? ", prompt filled the context" : "";
        this.state("done", `done in ${seconds(step.elapsed_time_ms / 1000)}${json[step.json] ?? ""}${filled}`);
      }
      if (!this.isTouched && !step.error) {
        this.element.open = false;
      }
    }

    tick(since, isLost) {
      if (this.isOver) {
        return;
      }
      if (isLost) {
        // Silence says nothing of the model now.
        this.state("lost", "the connection to the benchmarker is lost");
        return;
      }
      this.part(".elapsed").textContent = seconds(Math.max(0, since / 1000 - this.offset));
      if (this.chunks.offset === null) {
        const waited = since - (this.asked ?? this.offset) * 1000;
        const isLong = this.phase === "loading" && waited > SLOW_START;
        this.state(isLong ? "slow" : this.phase, isLong ? `${this.words}: nothing yet after ${Math.floor(waited / 1000)} s` : this.words);
        return;
      }
      const silence = since - this.chunks.offset * 1000;
      switch (this.chunks.judge(silence)) {
        case "stuck":
          if (this.state("stuck", `stuck? Nothing for ${Math.floor(silence / 1000)} s`)) {
            announce(`${this.title} may be stuck`, true);
          }
          break;
        case "slow":
          this.state("slow", "slow, the next chunk takes longer than usual");
          break;
        default:
          this.state(this.phase, this.words);
      }
    }
  }

  let agents = new Map();
  let places = new Map();
  let begun = Infinity;
  let doing = "The agents are at work";

  /** The part of the page for a part of the turn. */
  function place(stage, iteration) {
    const title = placeTitle(stage, iteration);
    if (!places.has(title)) {
      const { firstElementChild } = find("stage-template").content.cloneNode(true);
      firstElementChild.querySelector("h3").textContent = title;
      article.querySelector(".working").append(firstElementChild);
      places.set(title, firstElementChild);
    }
    return places.get(title);
  }

  function agentOf(number, event) {
    if (!agents.has(number) && event) {
      agents.set(number, new Agent(event, place(event.stage, event.iteration).querySelector(".columns")));
    }
    return agents.get(number);
  }

  // Events that are read again come all at once: what they say of the time since the turn began is a lower
  // bound, and the greatest bound is the best.
  function atLeast(offset) {
    begun = Math.min(begun, performance.now() - offset * 1000);
  }

  const handlers = {
    turn_started() {
      agents = new Map();
      places = new Map();
      article.querySelector(".working").replaceChildren();
      atLeast(0);
    },
    stage(event) {
      doing = stages[event.stage];
      announce(doing);
    },
    step_started(event) {
      atLeast(event.offset);
      doing = placeTitle(event.stage, event.iteration);
      agentOf(event.step, event);
    },
    progress(event) {
      atLeast(event.offset);
      agentOf(event.step)?.progress(event);
    },
    token(event) {
      atLeast(event.offset);
      agentOf(event.step)?.token(event);
    },
    memory(event) {
      const count = event.documents.length;
      const agent = agentOf(event.step);
      if (agent) {
        agent.words = `${count} document${count === 1 ? "" : "s"} recalled`;
      }
    },
    step_finished({ step }) {
      const model = step.model === null ? null : `${step.model}@${step.backend}`;
      agentOf(step.number, { ...step, model, answers: false }).finished(step);
    },
    iteration(event) {
      const verdict = place("collaborative_ideation", event.iteration).querySelector(".verdict");
      const reasons = event.reasons.length > 0 ? `: ${event.reasons.join("; ")}` : "";
      verdict.textContent = `Round ${event.iteration} of at most ${event.at_most}: ${event.converged ? "the critic is content" : "the critic has objections"}${reasons}`;
      verdict.hidden = false;
    },
    cancelled(event) {
      doing = `Stopped after ${seconds(event.after_ms / 1000)}`;
      announce(doing, true);
    },
    turn_finished({ response }) {
      end();
      const ends = { completed: "The answer is there", awaiting_user: "The agents wait for your word", cancelled: "The turn was stopped", interrupted: "The turn was interrupted" };
      announce(ends[response.status] ?? "The turn failed", true);
      settle(response.status);
    },
  };

  /** Puts the server's rendering in place of what was drawn here. */
  async function settle(status) {
    let text;
    try {
      const answer = await fetch(page.dataset.here, { headers: { Accept: "text/html" } });
      if (!answer.ok) {
        throw new Error(`status ${answer.status}`);
      }
      text = await answer.text();
    } catch {
      setTimeout(() => settle(status), AGAIN_AFTER);
      return;
    }
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const hadFocus = article.contains(document.activeElement);
    const { id } = article;
    for (const part of [id, "session-head", "sessions", "ask-title", "prompt-hint"]) {
      const [old, made] = [find(part), fresh.getElementById(part)];
      if (old && made) {
        old.replaceWith(made);
        localTimes(made);
      }
    }
    article = null;
    showBusy(false);
    if (status === "awaiting_user") {
      prompt.focus();
    } else if (hadFocus) {
      find(id).focus();
    }
  }

  /** The next prompt can be written meanwhile, and is sent only afterwards. */
  function showBusy(is) {
    ask.hidden = false;
    find("busy").hidden = !is;
    ask.querySelector("button.big").setAttribute("aria-disabled", String(is));
  }

  let end;

  function follow() {
    const address = `/api/nova/turns/${encodeURIComponent(article.dataset.turn)}/events`;
    end = Pace.follow(address, handlers, (now, isLost) => {
      const since = now - begun;
      for (const agent of agents.values()) {
        agent.tick(since, isLost);
      }
      if (Number.isFinite(since) && !isLost) {
        Pace.state(article.querySelector(".overall"), "writing", `${doing} · ${seconds(since / 1000)}`);
      }
    });
    article.querySelector(".stop").addEventListener("submit", stop);
  }

  async function stop(event) {
    event.preventDefault();
    const form = event.currentTarget;
    const button = form.querySelector("button");
    button.textContent = "Stopping…";
    button.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetch(form.action, { method: "POST", redirect: "manual" });
      if (answer.type !== "opaqueredirect") {
        throw new Error(`the server answered with status ${answer.status}`);
      }
    } catch (error) {
      button.textContent = "Stop";
      button.removeAttribute("aria-disabled");
      announce(`Not stopped: ${error.message}`, true);
    }
  }

  let isSent = false;
  ask?.addEventListener("submit", (event) => {
    if (article) {
      announce(find("busy").textContent, true);
    }
    if (article || isSent) {
      event.preventDefault();
    }
    isSent = !article;
  });
  // A page that is gone back to was not sent yet.
  window.addEventListener("pageshow", () => {
    isSent = false;
  });
  prompt?.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask.requestSubmit();
    }
  });

  if (article) {
    showBusy(true);
    follow();
  }
})();
