// Bars: probabilities of classes with their labels, or plain numbers. A list, so that it can be read without sight.

import {html, short} from "./elements.js";

export const MOST_BARS = 10;

/**
 * The classes with the highest probabilities, the highest first.
 * Values of labels that do not exclude each other are sorted alike.
 */
export function probabilityBars(probabilities, labels) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const shown = order.slice(0, MOST_BARS);
  const rows = shown.map((index, place) =>
    bar(labels[index] ?? String(index), percent(probabilities[index]), 0, probabilities[index], place === 0));
  const hidden = order.length - shown.length;
  const rest = hidden > 0 ? [html("li", {class: "soft small"}, `${hidden} more, each at most ${percent(probabilities[order[MOST_BARS]])}`)] : [];
  return html("ol", {class: "bars"}, ...rows, ...rest);
}

/** Numbers in their order, from zero to either side. */
export function numberBars(values, names) {
  const low = Math.min(0, ...values), high = Math.max(0, ...values), span = high - low || 1;
  return html("ol", {class: "bars"}, ...Array.from(values, (value, i) =>
    bar(names[i] ?? String(i), short(value), (Math.min(0, value) - low) / span, Math.abs(value) / span, false)));
}

function bar(name, text, start, length, best) {
  const fill = html("span", {class: "fill"});
  fill.style.marginLeft = `${100 * start}%`;
  fill.style.width = `${100 * length}%`;
  return html("li", {class: best ? "best" : null},
    html("span", {class: "name", title: name}, name), html("span", {class: "track", "aria-hidden": "true"}, fill),
    html("span", {class: "value"}, text));
}

/** A share in percent with one digit, but never 100 or 0 for what is neither. */
export function percent(share) {
  const rounded = (100 * share).toFixed(1);
  if (rounded === "100.0" && share < 1) return "> 99.9 %";
  if (rounded === "0.0" && share > 0) return "< 0.1 %";
  return `${rounded} %`;
}
