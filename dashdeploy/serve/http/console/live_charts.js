// The charts of a model's traffic, and of what a sample costs by the batch.

import {svg} from "./elements.js";
import {buckets, quantile} from "./metrics_text.js";

export const HISTORY = 120;
const BATCH_WINDOW = 10;
const $ = id => document.getElementById(id);
const ms = seconds => (seconds === null ? null : 1000 * seconds);
const shown = value => (value === null || value === undefined ? "–" : value.toFixed(1));

function line(id, series) {
  const top = Math.max(1e-9, ...series.flat().filter(value => value !== null));
  const parts = [svg("path", {d: "M0 99H300", class: "grid"})];
  series.forEach((values, which) => {
    let d = "", pen = "M";
    values.forEach((value, i) => {
      if (value === null) {
        pen = "M";
        return;
      }
      d += `${pen}${(300 - ((values.length - 1 - i) * 300) / (HISTORY - 1)).toFixed(1)} ${(98 - (94 * value) / top).toFixed(1)}`;
      pen = "L";
    });
    parts.push(svg("path", {d, opacity: which ? 0.45 : 1}));
  });
  $(id).replaceChildren(...parts);
  $(`${id}-scale`).textContent = `two minutes, 0 to ${top > 1e-9 ? Number(top.toPrecision(3)) : 0}`;
}

function bars(id, parts, least = 1) {
  const top = Math.max(least, ...parts.map(part => part.count)), width = 300 / Math.max(1, parts.length);
  $(id).replaceChildren(...parts.flatMap((part, i) => [
    svg("rect", {x: i * width + 2, width: width - 4, y: 84 - (80 * part.count) / top, height: (80 * part.count) / top, class: part.unused ? "unused" : null}),
    svg("text", {x: (i + 0.5) * width, y: 97, "text-anchor": "middle"}, Number.isFinite(part.le) ? part.le : "more")]));
}

/** Draws the traffic of the model `id`; `samples` are {at: seconds, models} in the order of time. */
export function drawTraffic(id, samples) {
  const rates = [], medians = [], tails = [];
  for (let i = 1; i < samples.length; i++) {
    const now = samples[i].models[id] ?? {}, before = samples[i - 1].models[id] ?? {};
    const done = (now.nv_inference_request_success ?? 0) - (before.nv_inference_request_success ?? 0);
    rates.push(Math.max(0, done) / (samples[i].at - samples[i - 1].at));
    const parts = buckets(now, before, "dashdeploy_request_duration_seconds");
    medians.push(ms(quantile(parts, 0.5)));
    tails.push(ms(quantile(parts, 0.99)));
  }
  line("throughput", [rates]);
  line("latency", [medians, tails]);
  $("throughput-value").textContent = (rates.at(-1) ?? 0).toFixed(0);
  $("latency-value").textContent = `${shown(medians.at(-1))}, ${shown(tails.at(-1))}`;
  const now = samples.at(-1).models[id] ?? {}, before = samples[Math.max(0, samples.length - 1 - BATCH_WINDOW)].models[id] ?? {};
  bars("batch", buckets(now, before, "dashdeploy_batch_size"));
  const runs = (now.nv_inference_exec_count ?? 0) - (before.nv_inference_exec_count ?? 0);
  const mean = runs > 0 ? (now.nv_inference_count - (before.nv_inference_count ?? 0)) / runs : null;
  $("batch-value").textContent = mean === null ? "–" : `mean ${mean.toFixed(1)}`;
}

/** Draws what a sample costs by the batch, from the `parameters` of the model's configuration. */
export function drawCurve(parameters) {
  const measured = parameters?.ms_per_sample_by_batch;
  const costs = measured ? JSON.parse(measured.string_value) : {};
  const unused = new Set(measured ? JSON.parse(parameters.measured_batches_not_formed.string_value) : []);
  bars("curve", Object.entries(costs).map(([rows, cost]) => ({le: Number(rows), count: cost, unused: unused.has(Number(rows))})), 1e-9);
  $("curve-value").textContent = measured
    ? `${Number(costs[1].toPrecision(3))} alone, batches to ${parameters.largest_useful_batch.string_value}` : "not measured";
  $("curve-note").textContent = unused.size ? "(pale: costs more per sample than a smaller batch, and is never formed)" : "";
}
