// The frame of a chart: scales, round ticks, grid lines.

import {short, svg} from "./elements.js";

/** Round numbers within [low, high], about `count` of them (Heckbert, "Nice numbers for graph labels", 1990). */
export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(rough)), share = rough / power;
  // A step that is rounded up may be longer than the range and miss it; one that is rounded down is not.
  const [above, below] = share > 5 ? [10, 5] : share > 2 ? [5, 2] : share > 1 ? [2, 1] : [1, 1];
  const found = multiples(power * above, low, high);
  return found.length ? found : multiples(power * below, low, high);
}

function multiples(step, low, high) {
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** A range with a little air around it; a single value gets one on either side. */
export function padded([low, high]) {
  const air = high > low ? (high - low) * 0.05 : Math.max(1, Math.abs(low)) * 0.5;
  return [low - air, high + air];
}

/**
 * A chart's scales and its grid.
 * `box` is {left, top, width, height} in pixels, `x` and `y` the ranges of the axes.
 */
export function frame(box, x, y) {
  const across = value => box.left + ((value - x[0]) / (x[1] - x[0] || 1)) * box.width;
  const up = value => box.top + box.height - ((value - y[0]) / (y[1] - y[0] || 1)) * box.height;
  const right = box.left + box.width, bottom = box.top + box.height, grid = svg("g");
  for (const tick of ticks(...y, box.height / 40)) {
    grid.append(
      svg("line", {x1: box.left, x2: right, y1: up(tick), y2: up(tick), class: "grid"}),
      svg("text", {x: box.left - 6, y: up(tick) + 4, "text-anchor": "end"}, short(tick)),
    );
  }
  for (const tick of ticks(...x, box.width / 90).filter(Number.isInteger)) {
    grid.append(svg("text", {x: across(tick), y: bottom + 16, "text-anchor": "middle"}, String(tick)));
  }
  grid.append(svg("line", {x1: box.left, x2: right, y1: bottom, y2: bottom, class: "axis"}));
  return {across, up, grid};
}

/**
 * The path of one line; where there are more values than pixels, the least and the greatest of each pixel,
 * so that no peak is lost.
 */
export function path(values, across, up, pixels) {
  const points = [];
  const put = i => Number.isFinite(values[i]) && points.push(`${across(i).toFixed(1)} ${up(values[i]).toFixed(1)}`);
  const bin = values.length / pixels;
  if (bin <= 2) for (let i = 0; i < values.length; i++) put(i);
  else {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const start = Math.floor(pixel * bin), end = Math.max(start + 1, Math.floor((pixel + 1) * bin));
      let least = start, greatest = start;
      for (let i = start; i < end; i++) {
        if (values[i] < values[least]) least = i;
        if (values[i] > values[greatest]) greatest = i;
      }
      put(Math.min(least, greatest));
      if (least !== greatest) put(Math.max(least, greatest));
    }
  }
  return points.length ? `M${points.join("L")}` : "";
}
