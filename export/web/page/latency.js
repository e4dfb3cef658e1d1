// The latency of both models on this machine: runs by turns, medians as they come.

import {html} from "./elements.js";
import {run} from "./engine.js";

const WARM_UP = 3, FEWEST = 5, MOST = 30, SECONDS = 10;
const SHORTEST = 20, TICK = 0.1; // ms: clocks of pages tick coarsely, so that quick models are timed several runs at once
const $ = id => document.getElementById(id);
const NAMES = {compiled: "compiled", direct: "direct"};

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Draws the medians of what was measured so far: {compiled: [ms], direct: [ms]}. */
function draw(times) {
  const medians = Object.entries(times).filter(([, values]) => values.length).map(([name, values]) => [name, median(values)]);
  const top = Math.max(...medians.map(([, ms]) => ms));
  $("latency").replaceChildren(...medians.map(([name, ms]) => {
    const fill = html("span", {class: "fill"});
    fill.style.width = `${(100 * ms) / top}%`;
    return html("li", {class: name === "compiled" ? "best" : null, "data-model": name, "data-ms": ms}, html("span", {class: "name"}, NAMES[name]),
      html("span", {class: "track", "aria-hidden": "true"}, fill), html("span", {class: "value"}, `${ms.toPrecision(3)} ms`));
  }));
  return Object.fromEntries(medians);
}

/**
 * Runs the models by turns on the same inputs until there are enough rounds, and says how much faster the compiled one is.
 * `how` is what stands below: threads and engine.
 */
export async function measure(feeds, how) {
  const times = {compiled: [], direct: []}, names = Object.keys(times), start = performance.now();
  let repeats = 1;
  for (let round = -WARM_UP; round < MOST; round++) {
    if (round >= FEWEST && performance.now() - start > 1000 * SECONDS) break;
    // Who comes first alternates, since a run leaves the caches to the next one.
    for (const name of round % 2 ? names : [...names].reverse()) {
      const {ms} = await run(name, feeds, repeats);
      if (round === -1) repeats = Math.max(repeats, Math.ceil(SHORTEST / Math.max(ms, TICK)));
      if (round >= 0) times[name].push(ms);
    }
    if (round < 0) continue;
    const {compiled, direct} = draw(times), ratio = direct / compiled;
    $("ratio").dataset.ratio = ratio;
    $("ratio").textContent = ratio >= 1 ? `${ratio.toFixed(2)} times as fast` : `${(1 / ratio).toFixed(2)} times as slow`;
    $("how").textContent = `Medians of ${times.direct.length} ${repeats > 1 ? `times ${repeats} runs` : "runs"} by turns of the same network, ${how}.`;
  }
}
