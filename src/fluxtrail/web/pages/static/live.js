// The live feed: when the history grows, the page's own address is asked again and `#live` is swapped, at most once a
// second. The feed resumes by id, so nothing is missed; a tab that nobody sees does not hold a connection. Nothing is
// swapped while somebody writes, nor, for some seconds, while they move the pointer over what is shown; nor while they
// hold it as it is.

import { announce } from "./copy.js";
import { keepPlace } from "./rows.js";

const REFRESH_MILLISECONDS = 1000;
const STALE_MILLISECONDS = 5000;
/** Who has just moved the pointer over a list is about to click in it. */
const POINTING_MILLISECONDS = 1200;
/** What happens is shown after these at the latest, however long somebody goes on moving the pointer. */
const WAITING_MILLISECONDS = 10_000;

/** @returns {{toggle: () => void}} holds what is shown as it is, and lets it go on */
export function startFeed() {
  const place = () => document.getElementById("main");
  const state = document.getElementById("feed-state");
  if (!place()?.dataset.liveAfter || !("EventSource" in window) || !state) return { toggle: () => {} };
  const banner = document.getElementById("feed-banner");
  let lastId = place()?.dataset.liveAfter ?? "0";
  let source = /** @type {EventSource | null} */ (null);
  let timer = 0;
  let lostAt = 0;
  let refreshedAt = 0;
  let pointedAt = 0;
  /** Since when something is to be shown; 0 while nothing is. */
  let waitingSince = 0;
  let isHeld = false;
  /** What came while it was held. */
  let missed = 0;
  let connection = /** @type {"on" | "lost" | "off"} */ ("off");
  state.removeAttribute("hidden");

  function showState() {
    const isHolding = isHeld && connection === "on";
    const word = isHolding ? "Held" : { on: "Live", lost: "Offline", off: "Paused" }[connection];
    const count = isHolding && missed ? `${missed > 99 ? "99+" : missed} new` : "";
    const [name, number] = [state.querySelector(".live-word"), state.querySelector(".live-count")];
    if (name) name.textContent = word;
    if (number) number.textContent = count;
    state.dataset.state = isHolding ? "held" : connection;
    state.setAttribute("aria-pressed", String(isHeld));
    state.setAttribute("aria-label", [word, count].filter(Boolean).join(", "));
    state.title = isHeld ? "Go on showing what happens (p)" : "Hold what is shown as it is (p)";
  }

  /** @param {"on" | "lost" | "off"} word */
  function show(word) {
    connection = word;
    showState();
    if (!banner) return;
    if (word === "on") {
      lostAt = 0;
      banner.hidden = true;
    } else if (word === "lost" && !lostAt) {
      lostAt = Date.now();
      const since = new Date();
      setTimeout(() => {
        if (!lostAt) return;
        banner.textContent = `Connection lost. What is shown is as of ${since.toLocaleTimeString()}; trying again.`;
        banner.hidden = false;
      }, STALE_MILLISECONDS);
    }
  }

  function toggle() {
    isHeld = !isHeld;
    if (!isHeld && missed) soon();
    missed = 0;
    showState();
    announce(isHeld ? "What is shown is held as it is" : "What happens is shown again");
  }

  function soon() {
    if (timer) return;
    waitingSince ||= Date.now();
    const wait = Math.max(0, refreshedAt + REFRESH_MILLISECONDS - Date.now());
    timer = window.setTimeout(refresh, wait + 50);
  }

  function isBusy() {
    return Boolean(document.querySelector("dialog[open]")) || isWriting() || isPointing();
  }

  function isPointing() {
    return Date.now() < Math.min(pointedAt + POINTING_MILLISECONDS, waitingSince + WAITING_MILLISECONDS);
  }

  async function refresh() {
    timer = 0;
    if (isHeld) {
      missed ||= 1;
      waitingSince = 0;
      return showState();
    }
    if (isBusy()) return void (timer = window.setTimeout(refresh, REFRESH_MILLISECONDS));
    waitingSince = 0;
    refreshedAt = Date.now();
    const htmx = /** @type {any} */ (window).htmx;
    if (!htmx || !document.getElementById("live")) return offerReload();
    const putBack = keepPlace();
    await htmx.ajax("GET", location.pathname + location.search, { target: "#live", select: "#live", swap: "outerMorph" });
    putBack();
    refreshedAt = Date.now();
  }

  function offerReload() {
    if (!banner) return;
    banner.textContent = "There is something new. ";
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Load the page again";
    banner.append(link);
    banner.hidden = false;
  }

  function connect() {
    const wanted = new URLSearchParams(place()?.dataset.liveFilter ?? "");
    wanted.set("after", lastId);
    source = new EventSource(`/api/v1/feed?${wanted}`);
    source.onopen = () => show("on");
    source.onerror = () => {
      show("lost");
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => !document.hidden && reconnect(), STALE_MILLISECONDS);
    };
    /** @param {MessageEvent} event */
    const seen = (event) => {
      lastId = event.lastEventId || lastId;
      if (event.type === "reset") announce("The page was read anew");
      if (!isHeld) return soon();
      missed += 1;
      showState();
    };
    const kinds = (place()?.dataset.liveKinds ?? "").split(" ");
    for (const kind of [...kinds, "reset"]) source.addEventListener(kind, seen);
  }

  function reconnect() {
    source?.close();
    connect();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      show("off");
    } else if (!source) {
      connect();
    }
  });
  document.addEventListener("pointermove", (event) => {
    if (/** @type {Element} */ (event.target).closest?.("#live")) pointedAt = Date.now();
  });
  window.addEventListener("pagehide", () => source?.close());
  state.addEventListener("click", toggle);
  showState();
  connect();
  return { toggle };
}

function isWriting() {
  const active = document.activeElement;
  return active instanceof HTMLInputElement && Boolean(active.closest("#live"));
}
