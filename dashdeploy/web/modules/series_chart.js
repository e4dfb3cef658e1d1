// A series as a line per channel: one chart for few channels, a strip for each of many.

import {frame, padded, path} from "./axes.js";
import {fitted, html, short, svg} from "./elements.js";
import {rangeOf} from "./tensor.js";

export const COLORS = 8;
const TOGETHER = 6, MOST_STRIPS = 16, HEIGHT = 200, STRIP = 26;
const MARGIN = {left: 52, right: 12, top: 10, bottom: 24};

const summary = (name, channels, [low, high]) =>
  `${name}: ${channels.length} channel${channels.length > 1 ? "s" : ""} of ${channels[0].length} values ` +
  `from ${short(low)} to ${short(high)}`;

/** A legend of names with their colors. */
export function legend(names) {
  return html("ul", {class: "legend"}, ...names.map(([name, color]) =>
    html("li", {}, html("span", {class: `swatch c${color % COLORS}`}), name)));
}

/** Draws channels (lists of one length) of the tensor called `name`. */
export function seriesChart(name, channels) {
  const range = rangeOf(...channels);
  const label = summary(name, channels, range);
  if (channels.length > TOGETHER) return strips(channels, label);
  const chart = fitted(width => together(channels, range, width, label));
  if (channels.length === 1) return html("div", {}, chart);
  return html("div", {}, chart, legend(channels.map((_, i) => [`channel ${i}`, i])));
}

function together(channels, range, width, label) {
  const box = {left: MARGIN.left, top: MARGIN.top, width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom};
  const {across, up, grid} = frame(box, [0, Math.max(1, channels[0].length - 1)], padded(range));
  const lines = channels.map((values, i) => line(values, across, up, box.width, i));
  return svg("svg", {width, height: HEIGHT, role: "img", "aria-label": label}, grid, ...lines);
}

/** One channel's line; a single value is a dot. */
export function line(values, across, up, pixels, color) {
  if (values.length === 1) return svg("circle", {cx: across(0), cy: up(values[0]), r: 4, class: `dot c${color % COLORS}`});
  return svg("path", {d: path(values, across, up, Math.floor(pixels)), class: `line c${color % COLORS}`});
}

function strips(channels, label) {
  const shown = channels.slice(0, MOST_STRIPS);
  const chart = fitted(width => {
    const rows = shown.map((values, i) => {
      const box = {left: MARGIN.left, top: i * STRIP + 3, width: width - MARGIN.left - MARGIN.right, height: STRIP - 6};
      const [low, high] = padded(rangeOf(values));
      const across = x => box.left + (x / Math.max(1, values.length - 1)) * box.width;
      const up = y => box.top + box.height - ((y - low) / (high - low)) * box.height;
      return svg("g", {},
        svg("text", {x: box.left - 8, y: box.top + box.height / 2 + 4, "text-anchor": "end"}, String(i)),
        svg("line", {x1: box.left, x2: box.left + box.width, y1: box.top + box.height + 3, y2: box.top + box.height + 3, class: "grid"}),
        line(values, across, up, box.width, i));
    });
    return svg("svg", {width, height: shown.length * STRIP, role: "img", "aria-label": label}, ...rows);
  });
  const hidden = channels.length - shown.length;
  const note = `${shown.length} channels, each on a scale of its own${hidden ? `; ${hidden} more are not drawn` : ""}`;
  return html("div", {}, chart, html("p", {class: "soft small"}, note));
}
