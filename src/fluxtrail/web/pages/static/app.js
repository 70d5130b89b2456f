// What every page does with scripts on. Without them every page can be read, and every form and link works.

import { startCopying } from "./copy.js";
import { startCharts } from "./chart.js";
import { startFolds } from "./folds.js";
import { startFeed } from "./live.js";
import { startKeys } from "./keys.js";
import { startPalette } from "./palette.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";

document.documentElement.classList.add("js");
const palette = startPalette();
startTheme();
startKeys(palette, startFeed());

/** Whatever has to be done to what a swap brought too. */
const dress = [startTimes(), startCopying(), startCharts(), startFolds()];
dress.forEach((each) => each());
document.addEventListener("htmx:after:swap", () => dress.forEach((each) => each()));
