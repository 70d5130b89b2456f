// What somebody has folded open stays so when the page is read again.

/** @returns what is to be done after each swap */
export function startFolds() {
  const open = new Map();
  document.addEventListener(
    "toggle",
    (event) => {
      const fold = /** @type {HTMLElement} */ (event.target);
      if (fold instanceof HTMLDetailsElement && fold.dataset.fold) open.set(fold.dataset.fold, fold.open);
    },
    true,
  );
  return () => {
    for (const fold of document.querySelectorAll("details[data-fold]")) {
      const key = /** @type {HTMLElement} */ (fold).dataset.fold;
      if (open.has(key)) fold.toggleAttribute("open", open.get(key));
    }
  };
}
