// Series drawn by uPlot from the table that stands below each chart: without scripts the table is what is read.

import { duration } from "./times.js";

/** Seconds between two lines of a chart: such that people count in. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000];

const LEAST_SPANS = 8;

/** @param {string} name */
function colour(name) {
  const probe = document.createElement("span");
  probe.className = `c-${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/**
 * Hours in the reader's own time, days in UTC as they are counted.
 * @param {number} seconds
 * @param {number} step
 */
function instant(seconds, step, isWhole = false) {
  const at = new Date(seconds * 1000);
  if (step >= 86400) return at.toLocaleDateString(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
  const day = at.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  const hour = at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (isWhole) return `${day} ${hour}`;
  return at.getHours() === 0 ? day : hour;
}

/** @param {HTMLTableElement} table */
function readTable(table) {
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent?.trim() ?? "");
  const rows = [...table.tBodies[0].rows].reverse();
  const column = (/** @type {number} */ index) => rows.map((row) => {
    const text = row.cells[index].getAttribute("data-value") ?? "";
    return text === "" ? null : Number(text);
  });
  return { names, data: names.reduce((data, _, index) => [...data, column(index + 1)], [column(0)]) };
}

/** @param {HTMLElement} place */
function draw(place) {
  const uPlot = /** @type {any} */ (window).uPlot;
  const table = document.querySelector(`#${CSS.escape(place.dataset.chart ?? "")} table`);
  if (!uPlot || !(table instanceof HTMLTableElement) || !table.tHead) return;
  const { names, data: all } = readTable(table);
  // What is before the first figure is left out, though a few spans are always shown.
  const first = Math.max(0, Math.min(all[1].findIndex((value) => value !== null) - 1, all[0].length - LEAST_SPANS));
  const data = all.map((values) => values.slice(first));
  const text = table.outerHTML;
  if (charts.get(place)?.text === text) return;
  charts.get(place)?.plot.destroy();
  const step = data[0].length > 1 ? Number(data[0][1]) - Number(data[0][0]) : 3600;
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const tones = ["accent", "busy", "good"];
  const plot = new uPlot({
    width: widthOf(place),
    height: 220,
    padding: [12, 44, 0, 0], // half of the last label
    cursor: { y: false, points: { size: 7 } },
    legend: { live: true },
    axes: [{ ...axis, space: 64, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((each) => instant(each, step)) }, { ...axis, size: 60, incrs: STEPS, values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map(duration) }],
    scales: { x: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [low - step / 2, high + step] }, y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ high) => [0, (high || 60) * 1.1] } },
    series: [
      { label: "From", value: (/** @type {any} */ _, /** @type {number | null} */ at) => (at === null ? "" : instant(at, step, true)) },
      ...names.slice(0, 2).map((name, index) => ({
        label: name,
        stroke: colour(tones[index]),
        width: 2,
        spanGaps: true,
        points: { show: true, size: 6, fill: colour(tones[index]) },
        fill: index === 0 ? colour("tint") : undefined,
        value: (/** @type {any} */ plot, /** @type {number | null} */ value) => (value === null ? (plot.cursor.idx === null ? "" : "none") : duration(value)),
      })),
    ],
  }, data.slice(0, 3), place);
  charts.set(place, { plot, text });
}

/** @param {HTMLElement} place */
function widthOf(place) {
  const style = getComputedStyle(place);
  return place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}

/** @type {Map<HTMLElement, {plot: any, text: string}>} */
const charts = new Map();

/** @returns what is to be done after each swap */
export function startCharts() {
  const all = () => {
    for (const [place, { plot }] of charts) if (!place.isConnected) { plot.destroy(); charts.delete(place); }
    for (const place of document.querySelectorAll("[data-chart]")) draw(/** @type {HTMLElement} */ (place));
  };
  window.addEventListener("resize", () => {
    for (const [place, { plot }] of charts) plot.setSize({ width: widthOf(place), height: 220 });
  });
  document.addEventListener("fluxtrail:theme", () => {
    for (const each of charts.values()) each.text = "";
    all();
  });
  return all;
}
