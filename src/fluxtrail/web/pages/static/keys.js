// The keyboard: `g` and a letter for pages, j and k for rows, `/` to find, `?` for the list of them.

import { findSelectedLink, select } from "./rows.js";
import { toggleTimes } from "./times.js";

const CHORD_MILLISECONDS = 1200;

/**
 * @param {{open: () => void}} palette
 * @param {{toggle: () => void}} feed
 */
export function startKeys(palette, feed) {
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
      p: feed.toggle,
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

/** @param {KeyboardEvent} event */
function open(event) {
  if (event.target !== document.body) return;
  findSelectedLink()?.click();
}
