// The timeline of a finished run: values under the pointer, and what moved during a stall. Without
// scripts the same stands in the table and in the list of stalls.
"use strict";

(() => {
  const chart = document.querySelector(".explorer");
  const readout = document.getElementById("readout");
  const table = document.getElementById("timeline-figures");
  if (!chart || !readout || !table) {
    return;
  }
  const [left, right] = [Number(chart.dataset.left), Number(chart.dataset.right)];
  // Steps of the drawing.
  const LOOK_BACK = 12;
  const cursor = chart.querySelector(".cursor");
  const heads = [...table.querySelectorAll("thead th")].slice(1).map((it) => it.textContent);
  const rows = [...table.querySelectorAll("tbody tr")];
  // Room for what is read is there from the first, so that nothing jumps.
  readout.hidden = false;
  readout.textContent = "Point at the drawing to read its values.";

  // The machine is looked at more seldom than the drawing has steps: the look before still holds.
  function valueAt(place, column) {
    const cells = rows.slice(Math.max(0, place - LOOK_BACK), place + 1).map((row) => row.children[column].textContent);
    return cells.findLast((cell) => cell !== "–") ?? "–";
  }

  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    const share = (x - left) / (right - left);
    const place = Math.floor(share * rows.length);
    if (share < 0 || share >= 1 || !rows[place]) {
      cursor.setAttribute("d", "");
      return;
    }
    cursor.setAttribute("d", `M${x.toFixed(1)} ${chart.dataset.top}V${chart.dataset.bottom}`);
    if (event.target.closest(".stall")) {
      return;
    }
    const values = heads.map((head, index) => [head, valueAt(place, index + 1)]).filter(([, value]) => value !== "–");
    readout.textContent = `${rows[place].children[0].textContent}: ${values.map(([head, value]) => `${head} ${value}`).join(" · ")}`;
  });
  chart.addEventListener("pointerleave", () => cursor.setAttribute("d", ""));

  // A stall tells what moved when it is pointed at or reached by keyboard; following it opens its entry.
  for (const mark of chart.querySelectorAll(".stall")) {
    const entry = document.querySelector(mark.getAttribute("href"));
    const tell = () => {
      const moved = [...entry.querySelectorAll("tbody tr")].map((row) => {
        const [name, usual, then] = [...row.children].map((it) => it.textContent);
        return `${name} ${then} (usually ${usual})`;
      });
      readout.textContent = [entry.querySelector(".what").textContent, ...moved].join(" · ");
    };
    mark.addEventListener("pointerenter", tell);
    mark.addEventListener("focus", tell);
    mark.addEventListener("click", () => {
      entry.open = true;
    });
  }
  const asked = location.hash.startsWith("#stall-") && document.querySelector(location.hash);
  if (asked) {
    asked.open = true;
  }
})();
