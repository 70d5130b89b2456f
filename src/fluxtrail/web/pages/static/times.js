// Ages that go on while the page is open, and the key that shows instants instead.

const UNITS = [
  [86400, "d", 3600, "h"],
  [3600, "h", 60, "m"],
  [60, "m", 1, "s"],
];
let isAbsolute = false;
/** How far the browser's clock is behind the server's, which a simulated world may scale. */
let skew = 0;

/**
 * As `model/durations.py`: `2m13s`, `3h05m`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.round(Math.abs(seconds));
  for (const [size, unit, smaller, smallerUnit] of UNITS) {
    if (whole >= size) {
      const rest = Math.floor((whole % Number(size)) / Number(smaller));
      return `${Math.floor(whole / Number(size))}${unit}` + (rest ? `${String(rest).padStart(2, "0")}${smallerUnit}` : "");
    }
  }
  return `${whole}s`;
}

/** @param {number} seconds */
function age(seconds) {
  if (Math.abs(seconds) < 1) return "just now";
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
}

function tick() {
  if (document.hidden) return;
  const now = Date.now() + skew;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(element.getAttribute("datetime") ?? "");
    const lasting = element.getAttribute("data-lasting");
    const seconds = (now - at) / 1000;
    const relative = lasting === null ? age(seconds) : lasting + duration(Math.max(seconds, 0));
    const absolute = (lasting ? "since " : "") + (element.getAttribute("title") ?? "");
    const text = isAbsolute ? absolute : relative;
    if (element.textContent !== text) element.textContent = text;
  }
}

export function toggleTimes() {
  isAbsolute = !isAbsolute;
  tick();
}

/** @param {boolean} whether */
function print(whether) {
  const before = isAbsolute;
  isAbsolute = whether || isAbsolute;
  tick();
  isAbsolute = before;
}

/** @returns what is to be done after each swap */
export function startTimes() {
  // On paper an age says nothing.
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  const asOf = document.querySelector(".foot time");
  if (asOf) skew = Date.parse(asOf.getAttribute("datetime") ?? "") - Date.now();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);
  return tick;
}
