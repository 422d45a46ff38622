// What pages of things that go on share: figures in words, the line that tells a state, and whether silence
// of a model is usual, slow or stuck. Text of models is only ever set as text.
"use strict";

const Pace = (() => {
  // Without a chunk for so long a model counts as stuck, whatever its pace, in milliseconds.
  const STUCK_AFTER = 5000;
  // Slow is so many times its own usual gap, but not a pause that nobody notices.
  const SLOW_FACTOR = 10;
  const SLOW_AT_LEAST = 500;
  // So long nobody wonders about a first chunk: a large model is loaded meanwhile.
  const SLOW_START = 30000;
  const GAPS_KEPT = 60;
  // A screen reader hears of progress, but not of all of it, in milliseconds.
  const QUIET_FOR = 5000;

  const SIGNS = { waiting: "○", loading: "◌", thinking: "◔", writing: "●", slow: "◑", stuck: "‼", lost: "?", done: "✓", failed: "✕" };

  const shown = (value) => (Math.abs(value) < 99.95 ? value.toPrecision(3) : value.toFixed(0));
  const seconds = (value) => {
    if (value === null || value === undefined) {
      return "–";
    }
    return value < 0.9995 ? `${shown(value * 1000)} ms` : `${value < 100 ? value.toPrecision(3) : value.toFixed(0)} s`;
  };
  const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

  /** Shows a state; whether it is another one than before. */
  function state(line, name, words) {
    const isNew = line.dataset.state !== name;
    if (isNew) {
      line.dataset.state = name;
      line.querySelector(".sign").textContent = SIGNS[name];
    }
    const text = line.querySelector(".words");
    if (text.textContent !== words) {
      text.textContent = words;
    }
    return isNew;
  }

  /** Adds text, and keeps the end in sight where it was. */
  function append(element, text) {
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    element.append(text);
    if (isAtEnd) {
      element.scrollTop = element.scrollHeight;
    }
  }

  let announced = 0;
  function announce(words, isUrgent = false) {
    const now = performance.now();
    if (isUrgent || now - announced > QUIET_FOR) {
      announced = now;
      document.getElementById("announcement").textContent = words;
    }
  }

  /** The chunks of one answer. */
  class Chunks {
    constructor() {
      this.offset = null;
      this.count = 0;
      this.gaps = [];
    }

    /** So many had come at this offset, in seconds. */
    came(offset, count) {
      const since = count - this.count;
      if (this.offset !== null && since > 0) {
        this.gaps.push((offset - this.offset) / since);
        this.gaps = this.gaps.slice(-GAPS_KEPT);
      }
      this.count = count;
      this.offset = offset;
    }

    /** Chunks a second, of those that came last; null where there are too few. */
    get rate() {
      const spent = this.gaps.reduce((sum, gap) => sum + gap, 0);
      return spent > 0 ? this.gaps.length / spent : null;
    }

    /** What a silence of so many milliseconds is: `stuck`, `slow`, or null where it is usual. */
    judge(silence) {
      const usual = this.gaps.length > 2 ? median(this.gaps) * 1000 : Infinity;
      if (silence > Math.max(STUCK_AFTER, usual < Infinity ? SLOW_FACTOR * usual : 0)) {
        return "stuck";
      }
      return silence > Math.max(SLOW_FACTOR * usual, SLOW_AT_LEAST) ? "slow" : null;
    }
  }

  return { GAPS_KEPT, SLOW_START, Chunks, announce, append, seconds, shown, state };
})();
