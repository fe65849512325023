// Keeps parts of a page up to date: asks for them anew, and puts them in their place if they have changed.
"use strict";

const INTERVAL_MS = 2000;

async function load(node, address) {
  const url = new URL(address, location.href);
  url.searchParams.set("version", node.dataset.version || "");
  const answer = await fetch(url, { credentials: "same-origin" });
  if (answer.status === 204) return;
  if (!answer.ok && answer.status !== 404) throw new Error(`${answer.status}`);
  const text = await answer.text();
  if (node.contains(document.activeElement) && node.dataset.live) {
    const focused = document.activeElement;
    if (focused.matches("input, select, textarea")) return; // someone is typing there
  }
  const open = [...node.querySelectorAll("details")].map((part) => part.open);
  node.innerHTML = text;
  [...node.querySelectorAll("details")].forEach((part, index) => { if (index in open) part.open = open[index]; });
  node.dataset.version = answer.headers.get("x-version") || "";
  node.removeAttribute("aria-busy");
}

async function keep(node) {
  for (;;) {
    await new Promise((done) => setTimeout(done, INTERVAL_MS));
    if (document.hidden || !node.isConnected) continue;
    try {
      await load(node, node.dataset.live);
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost"); // the dashboard has ended, or the connection is gone
    }
  }
}

for (const node of document.querySelectorAll("[data-live]")) keep(node);
for (const node of document.querySelectorAll("[data-load]")) {
  load(node, node.dataset.load).catch(() => { node.textContent = "The report can't be loaded."; });
}
