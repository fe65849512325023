// Moves in the plot of a series: each part is drawn by the dashboard from what it reads of the file.
"use strict";

const LEFT = 58, RIGHT = 10; // margins of the plot, as the dashboard draws them
const KEYS = { ArrowLeft: "earlier", ArrowRight: "later", "+": "zoom in", "=": "zoom in", "-": "zoom out", 0: "whole" };
const section = document.getElementById("trace");
let asked = 0;

async function show(query) {
  const number = ++asked;
  const answer = await fetch(`${section.dataset.part}?${query}`, { credentials: "same-origin" });
  const text = await answer.text();
  if (number !== asked) return; // another part was asked for meanwhile
  if (!answer.ok) throw new Error(`${answer.status}`);
  const focused = section.contains(document.activeElement) && document.activeElement.dataset.move;
  section.innerHTML = text;
  if (focused) section.querySelector(`[data-move="${focused}"]`)?.focus();
  history.replaceState(null, "", `?${query}`);
}

function move(query) {
  show(query).catch(() => location.assign(`?${query}`)); // the page says what is wrong
}

if (section) {
  section.addEventListener("click", (event) => {
    const link = event.target.closest("[data-move]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    move(new URL(link.href).search.slice(1));
  });
  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    move(new URL(section.querySelector(`[data-move="${KEYS[event.key]}"]`).href).search.slice(1));
  });
  let from = null, shade = null;
  const at = (event) => {
    const box = section.querySelector("svg").getBoundingClientRect();
    const scale = section.querySelector("svg").viewBox.baseVal.width / box.width;
    const width = section.querySelector("svg").viewBox.baseVal.width - LEFT - RIGHT;
    return Math.min(1, Math.max(0, ((event.clientX - box.left) * scale - LEFT) / width));
  };
  section.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest("svg")) return;
    from = at(event);
    shade = document.createElement("div");
    shade.className = "shade";
    section.querySelector(".plot").append(shade);
    section.setPointerCapture(event.pointerId);
  });
  section.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const box = section.querySelector("svg").getBoundingClientRect();
    const view = section.querySelector("svg").viewBox.baseVal.width;
    const [low, high] = [from, at(event)].sort((a, b) => a - b);
    const toPixels = (share) => ((LEFT + share * (view - LEFT - RIGHT)) / view) * box.width;
    shade.style.left = `${toPixels(low)}px`;
    shade.style.width = `${toPixels(high) - toPixels(low)}px`;
  });
  section.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [low, high] = [from, at(event)].sort((a, b) => a - b);
    from = null;
    shade.remove();
    if (high - low < 0.005) return; // a click
    const plot = section.querySelector(".plot");
    const [start, stop] = [Number(plot.dataset.start), Number(plot.dataset.stop)];
    const query = new URLSearchParams({ path: plot.dataset.path, from: start + low * (stop - start), to: start + high * (stop - start) });
    if (plot.dataset.first !== "0") query.set("first", plot.dataset.first);
    move(query.toString());
  });
}
