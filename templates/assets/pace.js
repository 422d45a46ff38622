// What pages of things that go on share: following their events over every loss of the connection, text that
// grows, figures in words, the line that tells a state, and whether silence of a model is usual, slow or stuck.
// Text of models is only ever set as text.
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
  // Nobody sees more than 20 changes a second: so long is between two, in milliseconds.
  const PAINT_EVERY = 50;
  // Clocks tick by tenths of a second.
  const TICK_EVERY = 100;
  // After so long without an event the connection is taken for dead, though nobody said so: that is how a
  // computer finds it that was asleep. Opening it again costs little and loses nothing.
  const SILENT_FOR = 30000;
  const AGAIN_AFTER = 3000;
  // Of one text so much is shown while it comes, characters; the end of it, since that is what comes.
  const MOST_SHOWN = 20000;
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

  const unpainted = new Set();

  /** Text that grows. It is put on the page when all that has come is, and keeps its end in sight where it was. */
  class Text {
    constructor(element) {
      this.element = element;
      this.whole = null;
      this.added = "";
    }

    /** Takes the place of all that was there. */
    set(text) {
      this.whole = "";
      this.added = "";
      this.add(text);
    }

    add(text) {
      this.added += text;
      unpainted.add(this);
    }

    paint() {
      const { element, added, whole } = this;
      const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
      const node = element.firstChild ?? element.appendChild(document.createTextNode(""));
      const before = whole ?? node.data;
      if (before.length + added.length > MOST_SHOWN) {
        node.data = `…${(before + added).slice(-MOST_SHOWN / 2)}`;
      } else if (whole === null) {
        node.appendData(added);
      } else if (node.data !== added) {
        node.data = added;
      }
      this.whole = null;
      this.added = "";
      if (isAtEnd) {
        element.scrollTop = element.scrollHeight;
      }
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

  /** Loads the page again once the server answers: what a browser shows instead would not come back by itself. */
  async function reload() {
    try {
      await fetch(location.href, { cache: "no-store" });
    } catch {
      setTimeout(reload, AGAIN_AFTER);
      return;
    }
    location.reload();
  }

  /**
   * Follows the events at an address until it is told to end, each event once, however often the connection is
   * lost. What has come is handled together, at most 20 times a second, and `paint` is called afterwards with
   * the time and whether the connection is lost. The end is told by calling what is returned.
   */
  function follow(address, handlers, paint) {
    const notice = document.getElementById("lost");
    let source;
    let waiting = [];
    let last = "";
    let heard;
    let painted = 0;
    let isLost = false;
    let isOver = false;

    function open() {
      source?.close();
      heard = Date.now();
      source = new EventSource(last ? `${address}?after=${encodeURIComponent(last)}` : address);
      for (const name of Object.keys(handlers)) {
        source.addEventListener(name, (message) => {
          heard = Date.now();
          last = message.lastEventId;
          waiting.push([name, message.data]);
        });
      }
      source.addEventListener("open", () => {
        heard = Date.now();
        isLost = false;
      });
      source.addEventListener("error", (event) => {
        // An event of that name is no error of the connection.
        if (event instanceof MessageEvent) {
          return;
        }
        isLost = true;
        // The browser tries again by itself, except after an answer that is no event stream.
        if (source.readyState === EventSource.CLOSED) {
          end();
          tell(true);
          // It may say that too many watch: all of them at once would not help.
          setTimeout(reload, AGAIN_AFTER);
        }
      });
    }

    function tell(is) {
      if (notice.hidden === is) {
        notice.hidden = !is;
        announce(is ? notice.textContent : "The connection is back; nothing was lost", true);
      }
    }

    function work() {
      const now = performance.now();
      if (waiting.length === 0 && now - painted < TICK_EVERY) {
        return;
      }
      painted = now;
      const events = waiting;
      waiting = [];
      for (const [name, data] of events) {
        handlers[name](JSON.parse(data));
      }
      if (!isOver) {
        tell(isLost);
        paint(now, isLost);
      }
      unpainted.forEach((text) => text.paint());
      unpainted.clear();
    }

    function beat() {
      if (isOver) {
        return;
      }
      if (Date.now() - heard > SILENT_FOR) {
        open();
      }
      try {
        work();
      } finally {
        // Counted from the end of the work: a busy page gets slower, not busier.
        setTimeout(beat, PAINT_EVERY);
      }
    }

    function reopen() {
      if (!isOver && isLost) {
        open();
      }
    }

    function end() {
      isOver = true;
      notice.hidden = true;
      source.close();
      window.removeEventListener("online", reopen);
    }

    window.addEventListener("online", reopen);
    open();
    beat();
    return end;
  }

  return { AGAIN_AFTER, GAPS_KEPT, SLOW_START, Chunks, Text, announce, follow, reload, seconds, shown, state };
})();
