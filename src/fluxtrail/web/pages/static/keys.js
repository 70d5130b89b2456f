// The keyboard: `g` and a letter for pages, j and k for rows, `/` to find, `?` for the list of them.

import { toggleTimes } from "./times.js";

const CHORD_MILLISECONDS = 1200;

/** @param {{open: () => void}} palette */
export function startKeys(palette) {
  let chordUntil = 0;
  const help = /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
  for (const button of document.querySelectorAll("[data-open=keys]")) {
    button.removeAttribute("hidden");
    button.addEventListener("click", () => help?.showModal());
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette.open();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (Date.now() < chordUntil) {
      chordUntil = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link instanceof HTMLElement) link.click();
      return;
    }
    const action = {
      g: () => { chordUntil = Date.now() + CHORD_MILLISECONDS; },
      j: () => select(1),
      k: () => select(-1),
      Enter: () => open(event),
      "/": () => palette.open(),
      "?": () => help?.showModal(),
      u: toggleTimes,
      f: () => focusFilters(),
    }[event.key];
    if (!action) return;
    if (event.key !== "Enter") event.preventDefault();
    action();
  });
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName));
}

function focusFilters() {
  document.querySelector("details.fold")?.setAttribute("open", "");
  const field = document.querySelector("form[data-filters] input, form[data-filters] select");
  if (field instanceof HTMLElement) field.focus();
}

/** @param {number} step */
function select(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.findIndex((row) => row.hasAttribute("data-selected"));
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (!next) return;
  rows[at]?.removeAttribute("data-selected");
  next.setAttribute("data-selected", "");
  const link = next.querySelector("a[href]");
  if (link instanceof HTMLElement) link.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** @param {KeyboardEvent} event */
function open(event) {
  if (event.target !== document.body) return;
  const link = document.querySelector("[data-row][data-selected] a[href]");
  if (link instanceof HTMLElement) link.click();
}
