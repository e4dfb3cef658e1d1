// A dense answer, one for every position of the input, drawn over the input.

import {frame, padded, path} from "./axes.js";
import {fitted, html, short, svg} from "./elements.js";
import {canvas, gray, shade, tiles} from "./picture.js";
import {probabilitiesOf} from "./probabilities.js";
import {COLORS, legend, line} from "./series_chart.js";
import {argmax, channelsOf, rangeOf} from "./tensor.js";

const HEIGHT = 220, MARGIN = {left: 52, right: 52, top: 10, bottom: 24}, STRIP = 14;
const MASK = 0.55, HEAT = 0.8; // opacities

/** The page's colors of classes, each [red, green, blue]. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  return Array.from({length: COLORS}, (_, i) => {
    const hex = Number.parseInt(style.getPropertyValue(`--c${i}`).trim().slice(1), 16);
    return [hex >> 16, (hex >> 8) & 255, hex & 255];
  });
}

/** The class of each position, and which classes there are. */
function classesOf(answer, multiLabel) {
  const channels = channelsOf(answer), found = new Array(channels[0].length);
  for (let i = 0; i < found.length; i++) {
    const {probabilities} = probabilitiesOf(channels.map(values => values[i]), multiLabel);
    const best = argmax(probabilities);
    found[i] = multiLabel && probabilities[best] < 0.5 ? -1 : best; // no label at all
  }
  return {found, present: [...new Set(found)].filter(each => each >= 0).sort((a, b) => a - b)};
}

/** Over a series: classes as a colored strip, numbers as lines; `labels` is empty for numbers. */
export function denseSeries(name, answer, input, labels, multiLabel) {
  const before = channelsOf(input), length = before[0].length;
  const classes = labels.length ? classesOf(answer, multiLabel) : null;
  const after = classes ? [] : channelsOf(answer);
  const chart = fitted(width => {
    const bottom = classes ? MARGIN.bottom + STRIP + 4 : MARGIN.bottom;
    const box = {left: MARGIN.left, top: MARGIN.top, width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - bottom};
    const x = [0, Math.max(1, length - 1)], inputRange = padded(rangeOf(...before));
    const own = frame(box, x, classes ? inputRange : padded(rangeOf(...after)));
    const theirs = frame(box, x, inputRange);
    const soft = before.map(values => svg("path", {d: path(values, theirs.across, theirs.up, Math.floor(box.width)), class: "line behind"}));
    const parts = [own.grid, ...soft, ...after.map((values, i) => line(values, own.across, own.up, box.width, i))];
    if (classes) parts.push(strip(classes.found, own.across, HEIGHT - STRIP - 2));
    else parts.push(...rightScale(box, inputRange));
    const label = `${name} over the input, ${length} positions`;
    return svg("svg", {width, height: HEIGHT, role: "img", "aria-label": label}, ...parts);
  });
  const names = classes
    ? classes.present.map(index => [labels[index], index])
    : after.map((_, i) => [after.length > 1 ? `${name} ${i}` : name, i]);
  return html("div", {}, chart, legend(names), html("p", {class: "soft small"}, classes
    ? "the class of every position; the input above" : "gray, with the scale on the right: the input"));
}

function rightScale(box, [low, high]) {
  const x = box.left + box.width + 6;
  return [[high, box.top + 8], [low, box.top + box.height]].map(([value, y]) => svg("text", {x, y}, short(value)));
}

/** Runs of one class as rectangles. */
function strip(found, across, top) {
  const group = svg("g"), half = (across(1) - across(0)) / 2;
  for (let start = 0; start < found.length;) {
    let end = start;
    while (end + 1 < found.length && found[end + 1] === found[start]) end++;
    if (found[start] >= 0) {
      const left = across(start) - half;
      group.append(svg("rect", {x: left, y: top, width: across(end) + half - left, height: STRIP, class: `area c${found[start] % COLORS}`}));
    }
    start = end + 1;
  }
  return group;
}

/** Over an image: the input beside the answer as a colored mask, or as a map of heat. */
export function densePicture(name, answer, input, labels, multiLabel) {
  const [, height, width] = input.shape, below = channelsOf(input), range = rangeOf(...below);
  const base = i => (below.length >= 3 ? below.slice(0, 3).map(values => shade(values[i], range)) : gray(below[0][i], range).slice(0, 3));
  const paled = i => { // under a mask, colors of the input would mix with those of the answer
    const level = base(i).reduce((sum, value) => sum + value / 3, 0);
    return [level, level, level];
  };
  const size = `${width} x ${height} pixels`;
  const pairs = [[canvas(width, height, i => [...base(i), 255], `input: ${size}`), "input"]];
  if (labels.length) {
    const {found, present} = classesOf(answer, multiLabel);
    const colors = palette();
    const mask = i => (found[i] < 0 ? [...paled(i), 255] : [...mix(paled(i), colors[found[i] % COLORS], MASK), 255]);
    pairs.push([canvas(width, height, mask, `${name}: the class of each pixel, over the input`), "classes over the input"]);
    return html("div", {}, tiles(pairs), legend(present.map(index => [labels[index], index])));
  }
  channelsOf(answer).slice(0, 4).forEach((values, index) => {
    const [low, high] = rangeOf(values);
    const pixel = i => [...mix(paled(i), heat(shade(values[i], [low, high]) / 255), HEAT), 255];
    const what = answer.shape[0] > 1 ? `${name} ${index}` : name;
    pairs.push([canvas(width, height, pixel, `${what}: ${size}, over the input`), `${what}, dark ${short(low)} to bright ${short(high)}`]);
  });
  return tiles(pairs);
}

const mix = (under, over, share) => under.map((value, i) => value * (1 - share) + over[i] * share);

/** A color from dark blue over red to light yellow, for a share from 0 to 1. */
function heat(share) {
  const stops = [[20, 12, 70], [140, 30, 110], [225, 90, 60], [252, 240, 160]];
  const at = Math.min(2.999, Math.max(0, 3 * share)), low = Math.floor(at);
  return mix(stops[low], stops[low + 1], at - low);
}
