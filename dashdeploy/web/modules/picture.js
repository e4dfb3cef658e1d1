// An image as a picture: gray, RGB with or without opacity, or a gray tile for each channel.

import {html, short} from "./elements.js";
import {channelsOf, rangeOf} from "./tensor.js";

const MOST_TILES = 16;

/** Draws a sample of shape [channels, height, width]. */
export function picture(name, sample) {
  const [count, height, width] = sample.shape, channels = channelsOf(sample);
  if (count === 3 || count === 4) {
    const range = rangeOf(...channels.slice(0, 3));
    return tiles([[canvas(width, height, i => colored(channels, i, range), `${name}: ${width} x ${height} pixels in color`), scale(range)]]);
  }
  const shown = channels.slice(0, MOST_TILES).map((values, index) => {
    const range = rangeOf(values), what = count === 1 ? "gray" : `channel ${index}`;
    const drawn = canvas(width, height, i => gray(values[i], range), `${name}: ${width} x ${height} pixels, ${what}`);
    return [drawn, count === 1 ? scale(range) : `${what}, ${scale(range)}`];
  });
  return tiles(shown, count > MOST_TILES ? `${count - MOST_TILES} more channels are not drawn` : "");
}

const scale = ([low, high]) => `from ${short(low)} to ${short(high)}`;

/** Pictures side by side, each with a caption. */
export function tiles(pairs, note = "") {
  const figures = pairs.map(([drawn, caption]) => html("figure", {}, drawn, html("figcaption", {class: "soft small"}, caption)));
  return html("div", {}, html("div", {class: "tiles"}, ...figures), ...(note ? [html("p", {class: "soft small"}, note)] : []));
}

/** A canvas of `width` x `height` pixels, each [red, green, blue, opacity] from 0 to 255. */
export function canvas(width, height, pixel, label) {
  const element = html("canvas", {width, height, role: "img", "aria-label": label, class: "picture"});
  const context = element.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set(pixel(i), 4 * i);
  context.putImageData(image, 0, 0);
  return element;
}

/** A value as a shade from 0 to 255 of its range. */
export const shade = (value, [low, high]) => (high > low ? (255 * (value - low)) / (high - low) : 127);

export function gray(value, range) {
  const level = shade(value, range);
  return [level, level, level, 255];
}

function colored(channels, i, range) {
  const opacity = channels[3] ? shade(channels[3][i], rangeOf(channels[3], [0])) : 255;
  return [...channels.slice(0, 3).map(values => shade(values[i], range)), opacity];
}
