// Buttons that copy a sha or a digest whole. They are hidden where nothing can be copied: over plain HTTP.

/** @returns what is to be done after each swap */
export function startCopying() {
  const canCopy = Boolean(navigator.clipboard);
  document.addEventListener("click", async (event) => {
    const button = /** @type {Element} */ (event.target).closest?.("button[data-copy]");
    if (!(button instanceof HTMLElement)) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy ?? "");
      button.dataset.done = "";
      announce("Copied");
      setTimeout(() => delete button.dataset.done, 1200);
    } catch {
      announce("The browser did not let it be copied");
    }
  });
  return () => {
    for (const button of document.querySelectorAll("button[data-copy][hidden]")) button.toggleAttribute("hidden", !canCopy);
  };
}

/** @param {string} text what a screen reader says */
export function announce(text) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}
