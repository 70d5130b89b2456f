// Rows of lists, which are known by their ids: a row stays chosen, and its link focused, whatever comes above it.

const ROWS = "[data-row]";
/** What a row is opened by. */
const LINK = "a[href]:not(.aside)";

/** @param {number} step */
export function select(step) {
  const rows = [...document.querySelectorAll(ROWS)];
  const at = rows.findIndex((row) => row.hasAttribute("data-selected"));
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (!next) return;
  rows[at]?.removeAttribute("data-selected");
  next.setAttribute("data-selected", "");
  const link = next.querySelector(LINK);
  if (link instanceof HTMLElement) link.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** @returns {HTMLElement | null} what Enter opens */
export function findSelectedLink() {
  return document.querySelector(`${ROWS}[data-selected] ${LINK}`);
}

/** @returns what puts the choice and the focus back after a swap */
export function keepPlace() {
  const selected = document.querySelector(`${ROWS}[data-selected]`)?.id;
  const active = document.activeElement;
  const row = active?.closest(ROWS);
  const at = row ? focusable(row).indexOf(/** @type {HTMLElement} */ (active)) : -1;
  const id = row?.id;
  return () => {
    for (const other of document.querySelectorAll(`${ROWS}[data-selected]`)) other.toggleAttribute("data-selected", other.id === selected);
    if (selected) document.getElementById(selected)?.setAttribute("data-selected", "");
    const place = id ? document.getElementById(id) : null;
    if (place && at >= 0) focusable(place)[at]?.focus({ preventScroll: true });
  };
}

/** @param {Element} row */
function focusable(row) {
  return /** @type {HTMLElement[]} */ ([...row.querySelectorAll("a[href], button, summary, input")]);
}
