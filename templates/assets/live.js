// A run as it goes on. The events come from the start each time the page is loaded, and after the last one
// seen where only the connection broke, so neither loses anything. `run_started` begins all over: also where
// the server no longer knows what came after the last one seen.
"use strict";

(() => {
  const page = document.getElementById("live");
  const find = (id) => document.getElementById(id);

  const { GAPS_KEPT, SLOW_START, Text, announce, seconds, shown } = Pace;
  // ms
  const FOLLOWED_FOR = 2000;

  class Column {
    constructor(element) {
      this.element = element;
      this.label = element.dataset.label;
      // Not known of a load whose requests are found out as it goes.
      this.total = Number(element.dataset.total) || Infinity;
      this.part = (name) => element.querySelector(name);
      this.answer = new Text(this.part(".answer"));
      this.thinking = new Text(this.part(".thinking"));
      this.reset();
    }

    /** Nothing of it has begun. */
    reset() {
      this.begun = 0;
      this.done = 0;
      this.sent = null;
      this.isDrawn = true;
      this.state("waiting", "waiting for its turn");
      this.counted();
    }

    state(name, words) {
      return Pace.state(this.part(".state"), name, words);
    }

    counted() {
      const of = Number.isFinite(this.total) ? ` of ${this.total}` : "";
      this.part(".request").textContent = `${this.done}${of} done`;
    }

    started(event, runOffset) {
      this.begun += 1;
      // Under load many go on at once: one is shown for a while, then the newest.
      const others = this.begun - this.done - 1;
      if (others > 0 && this.sent !== null && performance.now() - this.sent < FOLLOWED_FOR) {
        return;
      }
      this.request = event.request;
      this.sent = performance.now();
      this.sentOffset = runOffset;
      this.chunks = new Pace.Chunks();
      this.phase = "loading";
      this.what = event.warmup ? "warm-up" : `repetition ${event.repetition}`;
      this.answer.set("");
      this.thinking.set("");
      this.thinking.element.hidden = true;
      this.part(".first").textContent = "–";
      this.part(".rate").textContent = "–";
      this.isDrawn = false;
    }

    // Events that are read again come all at once: what they say of the time since sending is a
    // lower bound, and the greatest bound is the best.
    atLeast(elapsed) {
      if (this.sent !== null) {
        this.sent = Math.min(this.sent, performance.now() - elapsed * 1000);
      }
    }

    text(event) {
      if (event.request !== this.request || this.sent === null) {
        return;
      }
      this.chunks.came(event.offset, event.chunks);
      this.atLeast(event.offset);
      if (event.thinking) {
        this.thinking.element.hidden = false;
        this.thinking.add(event.thinking);
      }
      if (event.text) {
        this.answer.add(event.text);
      }
      this.phase = event.text ? "writing" : "thinking";
      this.part(".first").textContent = seconds(event.time_to_first_chunk);
      if (event.chunks_per_second !== null) {
        this.part(".rate").textContent = `${shown(event.chunks_per_second)} chunks/s`;
      }
      this.isDrawn = false;
    }

    finished(event) {
      const result = event.result;
      this.done += 1;
      this.counted();
      // A result is stored before it is told: the next request may have begun meanwhile.
      if (this.begun > this.done) {
        // Under load the followed one may end before the next begins: then silence says nothing.
        if (event.request === this.request) {
          this.sent = null;
          this.state("waiting", "others go on; the next one is shown");
        }
        return;
      }
      this.sent = null;
      this.answer.set(result.response);
      this.thinking.set(result.thinking ?? "");
      this.thinking.element.hidden = !result.thinking;
      this.part(".elapsed").textContent = seconds(result.timing.total_time);
      this.part(".first").textContent = seconds(result.timing.time_to_first_chunk);
      const rate = result.throughput.output_tokens_per_second;
      if (rate !== null) {
        this.part(".rate").textContent = `${shown(rate)} tokens/s`;
      }
      if (!result.success) {
        this.state("failed", `failed: ${result.error?.message ?? "no reason is known"}`);
        announce(`A request to ${this.label} failed`, true);
      } else if (this.done < this.total) {
        this.state("waiting", "waiting for its next turn");
      } else {
        this.state("done", "done");
      }
    }

    draw() {
      this.isDrawn = true;
      const { gaps } = this.chunks;
      const most = Math.max(...gaps, 1e-9);
      const step = 200 / (GAPS_KEPT - 1);
      const points = gaps.map((gap, index) => `${(index * step).toFixed(1)} ${(26 - (gap / most) * 24).toFixed(1)}`);
      this.part(".spark .line").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    }

    tick(now, isLost) {
      if (!this.isDrawn) {
        this.draw();
      }
      if (this.sent === null) {
        return;
      }
      if (isLost) {
        // Silence says nothing of the model now.
        this.state("lost", `${this.what}: the connection to the benchmarker is lost`);
        return;
      }
      this.part(".elapsed").textContent = seconds((now - this.sent) / 1000);
      if (this.chunks.offset === null) {
        const waited = now - this.sent;
        if (waited > SLOW_START) {
          this.state("slow", `${this.what}: nothing for ${Math.floor(waited / 1000)} s: loading, reading, or stuck`);
        } else {
          this.state("loading", `${this.what}: loading, or reading the prompt`);
        }
        return;
      }
      const silence = now - this.sent - this.chunks.offset * 1000;
      switch (this.chunks.judge(silence)) {
        case "stuck":
          if (this.state("stuck", `${this.what}: stuck? Nothing for ${Math.floor(silence / 1000)} s`)) {
            announce(`${this.label} may be stuck`, true);
          }
          break;
        case "slow":
          this.state("slow", `${this.what}: slow, the next chunk takes longer than usual`);
          break;
        default:
          this.state(this.phase, `${this.what}: ${this.phase}`);
      }
    }
  }

  const columns = [...page.querySelectorAll(".live-model")].map((element) => new Column(element));
  let runOffset = 0;
  let isPaused = false;

  const handlers = {
    queued(event) {
      find("phase").textContent = `place ${event.position} in the queue`;
    },
    run_started() {
      find("phase").textContent = "";
      columns.forEach((column) => column.reset());
    },
    stage_started(event) {
      const rate = event.requests_per_second;
      const what = rate === null ? "one request at a time" : `${shown(rate)} requests a second`;
      find("phase").textContent = `stage ${event.stage + 1}: ${what}`;
    },
    request_started(event) {
      if (isPaused) {
        isPaused = false;
        find("phase").textContent = "";
      }
      columns[event.model_index]?.started(event, runOffset);
    },
    text_arrived(event) {
      columns[event.model_index]?.text(event);
    },
    request_finished(event) {
      find("finished").textContent = event.finished;
      find("total").textContent = event.total;
      find("progress").max = event.total;
      find("progress").value = event.finished;
      columns[event.model_index]?.finished(event);
      announce(`${event.finished} of ${event.total} requests finished`);
    },
    cooling_down(event) {
      const now = event.temperature_celsius === null ? "" : ` ${shown(event.temperature_celsius)} °C,`;
      const target = event.target_celsius === null ? "" : ` waits for ${shown(event.target_celsius)} °C,`;
      find("phase").textContent = `pause before the next request:${now}${target} ${event.waited.toFixed(0)} of at most ${shown(event.at_most)} s`;
      isPaused = true;
    },
    sample_taken(event) {
      const sample = event.sample;
      if (event.backend) {
        elsewhere(event.backend, sample);
        return;
      }
      runOffset = sample.offset;
      find("cpu").textContent = percent(sample.cpu_percent);
      find("memory").textContent = percent(sample.memory_percent);
      const servers = sample.servers.map((it) => (it.state === "stopped" || it.state === "gone" ? it.state : percent(it.cpu_percent)));
      gauge("servers", ".figure", servers.join(", "));
      gauge("gpus", ".devices", sample.gpus.map(device).filter(Boolean).join(" · "));
      const degrees = sample.cpu_temperature_celsius;
      gauge("temperature", ".figure", degrees === null ? "" : `${shown(degrees)} °C`);
      for (const column of columns) {
        column.atLeast(runOffset - column.sentOffset);
      }
    },
    run_finished() {
      end();
      Pace.reload();
    },
  };

  const percent = (value) => (value === null || value === undefined ? "–" : `${shown(value)} %`);

  function gauge(id, part, words) {
    find(id).hidden = !words;
    find(id).querySelector(part).textContent = words;
  }

  // What one graphics processor does, in a few words.
  function device(gpu) {
    const parts = [[gpu.utilization_percent, "%"], [gpu.power_watts, "W"], [gpu.temperature_celsius, "°C"]];
    return parts.filter(([value]) => value !== null).map(([value, unit]) => `${shown(value)} ${unit}`).join(", ");
  }

  // The machine of a backend that an agent looks at: a line of its own.
  const others = new Map();
  function elsewhere(backend, sample) {
    if (!others.has(backend)) {
      const line = document.createElement("p");
      line.className = "quiet";
      find("elsewhere").append(line);
      others.set(backend, line);
    }
    const gpus = sample.gpus.map(device).filter(Boolean).map((words) => `, GPU ${words}`).join("");
    others.get(backend).textContent = `Machine of ${backend}: CPU ${percent(sample.cpu_percent)}, memory ${percent(sample.memory_percent)}${gpus}`;
  }

  const address = `/api/benchmarks/${encodeURIComponent(page.dataset.run)}/events`;
  const end = Pace.follow(address, handlers, (now, isLost) => {
    columns.forEach((column) => column.tick(now, isLost));
  });
})();
