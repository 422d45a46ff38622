// What every page gains from scripts: times in the reader's own zone, the filter of models, and a
// word when the system strip gets no answer. Everything works without.
"use strict";

function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      element.title = element.textContent;
      element.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
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
  const strip = document.getElementById("system");
  if (!strip) {
    return;
  }
  const stale = (is) => strip.classList.toggle("stale", is);
  strip.addEventListener("htmx:sendError", () => stale(true));
  strip.addEventListener("htmx:responseError", () => stale(true));
  strip.addEventListener("htmx:afterSwap", () => stale(false));
}

localTimes(document);
modelFilter();
watchStrip();
