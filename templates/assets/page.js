// What every page gains from scripts: times in the reader's own zone, the filter of models, and a
// word when the system strip gets no answer. Everything works without.
"use strict";

// The zone is named, since filters and links speak of UTC. In the shape that the server gives a time, so that
// nothing moves when it takes the place of that.
const LOCAL_TIME = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

function localTime(moment) {
  const part = Object.fromEntries(LOCAL_TIME.formatToParts(moment).map(({ type, value }) => [type, value]));
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
}

function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      element.title = element.textContent;
      element.textContent = localTime(moment);
    }
  }
}

function modelFilter() {
  const input = document.getElementById("model-filter");
  const choices = [...document.querySelectorAll(".choices > li")];
  // A short list is quicker to read than to filter.
  if (!input || choices.length < 6) {
    return;
  }
  input.closest(".filter").hidden = false;
  const none = document.querySelector(".models .none");
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const choice of choices) {
      const text = choice.textContent.toLowerCase();
      // What is chosen stays in sight.
      const fits = words.every((word) => text.includes(word)) || choice.querySelector("input").checked;
      choice.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    none.hidden = shown > 0;
  };
  input.addEventListener("input", apply);
  input.addEventListener("keydown", (event) => {
    // Enter would send the form.
    if (event.key === "Enter") {
      event.preventDefault();
    }
  });
}

function watchStrip() {
  const strip = document.getElementById("system-strip");
  if (!strip) {
    return;
  }
  const stale = (is) => strip.classList.toggle("stale", is);
  strip.addEventListener("htmx:sendError", () => stale(true));
  strip.addEventListener("htmx:responseError", (event) => {
    // The token is asked for again: the login page leads back to this one.
    if (event.detail.xhr.status === 401) {
      const back = encodeURIComponent(location.pathname + location.search);
      strip.innerHTML = `<a href="/login?next=${back}">The session has ended: sign in again</a>`;
      return;
    }
    stale(true);
  });
  strip.addEventListener("htmx:afterSwap", () => stale(false));
}

// Where htmx gets no answer that it shows, a person is told so.
function tellFailures() {
  const strip = document.getElementById("system-strip");
  const tell = (words) => {
    let notice = document.getElementById("failure");
    if (!notice) {
      notice = document.createElement("p");
      notice.id = "failure";
      notice.className = "notice";
      notice.setAttribute("role", "alert");
      document.getElementById("main").prepend(notice);
    }
    notice.textContent = words;
  };
  const unlessOfStrip = (words) => (event) => {
    if (!strip?.contains(event.target)) {
      tell(words(event.detail.xhr.status));
    }
  };
  document.body.addEventListener("htmx:sendError", unlessOfStrip(() => "This was not done: the server does not answer."));
  document.body.addEventListener("htmx:responseError", unlessOfStrip((status) =>
    status === 401
      ? "This was not done: the session has ended. Sign in in another tab, then try again."
      : `This was not done: the server answered with status ${status}.`));
}

// Choosing all of a list, or none, needs no new page.
function chooseAll() {
  const link = document.querySelector("a.choose-all");
  if (!link) {
    return;
  }
  const boxes = [...link.closest("form").querySelectorAll('input[type="checkbox"][name="ids"]')];
  const tell = () => {
    const are = boxes.every((box) => box.checked);
    link.textContent = are ? "None" : "All";
    link.setAttribute("aria-label", are ? "Choose none" : "Choose all benchmarks on this page");
    return are;
  };
  link.setAttribute("role", "button");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const are = tell();
    for (const box of boxes) {
      box.checked = !are;
    }
    tell();
  });
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      link.click();
    }
  });
  for (const box of boxes) {
    box.addEventListener("change", tell);
  }
  tell();
}

// How much of a large file has been sent: the server reads it as it comes.
function tellProgress() {
  document.body.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.querySelector?.("progress.upload");
    const { lengthComputable, loaded, total } = event.detail;
    if (bar && lengthComputable && total > 0) {
      bar.hidden = false;
      bar.value = loaded / total;
    }
  });
}

localTimes(document);
tellFailures();
tellProgress();
chooseAll();
modelFilter();
watchStrip();
