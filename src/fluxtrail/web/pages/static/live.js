// The live feed: when the history grows, the page's own address is asked again and `#live` is swapped, at most once a
// second. The feed resumes by id, so nothing is missed; a tab that nobody sees does not hold a connection.

import { announce } from "./copy.js";

const REFRESH_MILLISECONDS = 1000;
const STALE_MILLISECONDS = 5000;

export function startFeed() {
  const place = () => document.getElementById("main");
  if (!place()?.dataset.liveAfter || !("EventSource" in window)) return;
  const state = document.getElementById("feed-state");
  const banner = document.getElementById("feed-banner");
  let lastId = place()?.dataset.liveAfter ?? "0";
  let source = /** @type {EventSource | null} */ (null);
  let timer = 0;
  let lostAt = 0;
  let refreshedAt = 0;
  state?.removeAttribute("hidden");

  /** @param {"on" | "lost" | "off"} word */
  function show(word) {
    if (state) {
      state.dataset.state = word;
      const text = state.querySelector(".live-word");
      if (text) text.textContent = { on: "Live", lost: "Offline", off: "Paused" }[word];
    }
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

  function soon() {
    if (timer) return;
    const wait = Math.max(0, refreshedAt + REFRESH_MILLISECONDS - Date.now());
    timer = window.setTimeout(refresh, wait + 50);
  }

  async function refresh() {
    timer = 0;
    if (document.querySelector("dialog[open]") || isWriting()) return void (timer = window.setTimeout(refresh, REFRESH_MILLISECONDS));
    refreshedAt = Date.now();
    const htmx = /** @type {any} */ (window).htmx;
    if (!htmx || !document.getElementById("live")) return offerReload();
    const selected = [...document.querySelectorAll("[data-row]")].findIndex((row) => row.hasAttribute("data-selected"));
    await htmx.ajax("GET", location.pathname + location.search, { target: "#live", select: "#live", swap: "outerMorph" });
    document.querySelectorAll("[data-row]")[selected]?.setAttribute("data-selected", "");
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
      soon();
      if (event.type === "reset") announce("The page was read anew");
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
  window.addEventListener("pagehide", () => source?.close());
  connect();
}

function isWriting() {
  const active = document.activeElement;
  return active instanceof HTMLInputElement && Boolean(active.closest("#live"));
}
