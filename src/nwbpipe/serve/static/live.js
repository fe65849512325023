// Keeps parts of a page up to date: asks for them anew, and puts them in their place if they have changed.
"use strict";

const INTERVAL_MS = 2000;
const FOCUSABLE = "a, button, summary, [tabindex]";

// A button that is replaced between press and release is not clicked.
let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const end of ["pointerup", "pointercancel", "contextmenu"]) { // a menu may keep the release for itself
  addEventListener(end, () => setTimeout(() => { isPressed = false; }), true); // after the click
}

// What tells one thing to press from another: what its form sends, where it leads, or what it is.
function identify(part) {
  return part.form ? new URLSearchParams(new FormData(part.form)).toString() : part.href || part.tagName;
}

async function load(node, address) {
  const url = new URL(address, location.href);
  url.searchParams.set("version", node.dataset.version || "");
  const answer = await fetch(url, { credentials: "same-origin" });
  if (answer.status === 204) return;
  if (!answer.ok && answer.status !== 404) throw new Error(`${answer.status}`);
  const text = await answer.text();
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  if (node.dataset.live && (isPressed || focused?.matches("input, select, textarea"))) return; // someone acts there
  const place = [...node.querySelectorAll(FOCUSABLE)].indexOf(focused);
  const name = focused && identify(focused);
  const open = [...node.querySelectorAll("details")].map((part) => part.open);
  node.innerHTML = text;
  [...node.querySelectorAll("details")].forEach((part, index) => { if (index in open) part.open = open[index]; });
  const same = node.querySelectorAll(FOCUSABLE)[place];
  if (same && identify(same) === name) same.focus({ preventScroll: true });
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
