// Which drawing suits a tensor: by its shape, the labels, and the input that it answers.

import {numberBars, probabilityBars} from "./bar_chart.js";
import {densePicture, denseSeries} from "./dense_answer.js";
import {html, short} from "./elements.js";
import {picture} from "./picture.js";
import {probabilitiesOf} from "./probabilities.js";
import {seriesChart} from "./series_chart.js";
import {channelsOf, isNumeric, sampleOf} from "./tensor.js";

const MOST_BARS = 32, MOST_TEXTS = 50;

/** How many samples the tensors hold; those of one value or none at all count as one. */
export const samplesOf = tensors => Math.max(1, ...tensors.map(tensor => (tensor.shape.length > 1 ? tensor.shape[0] : 1)));

/** Draws sample number `row` of an input. */
export function inputView(tensor, row) {
  if (!isNumeric(tensor)) return texts(tensor.values);
  return plainView(tensor.name, asImageOrSeries(sampleOf(tensor, row)));
}

/**
 * Draws sample number `row` of an answer.
 * `about` is {inputs, labels, multiLabel}: what was sent, the names of the classes, and whether there may be many at once.
 */
export function answerView(tensor, row, {inputs, labels, multiLabel}) {
  if (!isNumeric(tensor)) return classified(tensor, row) ?? texts(tensor.values);
  const answer = asImageOrSeries(sampleOf(tensor, row)), rank = answer.shape.length;
  if (rank === 1 && labels.length && labels.length === answer.shape[0]) {
    const {probabilities, how} = probabilitiesOf(answer.values, multiLabel);
    return html("div", {}, probabilityBars(probabilities, labels), html("p", {class: "soft small"}, how));
  }
  const under = inputs.filter(isNumeric).map(input => asImageOrSeries(sampleOf(input, row)))
    .find(input => String(input.shape.slice(1)) === String(answer.shape.slice(1)) && rank > 1);
  const names = labels.length === answer.shape[0] ? labels : [];
  if (under && rank === 2) return denseSeries(tensor.name, answer, under, names, multiLabel);
  if (under && rank === 3) return densePicture(tensor.name, answer, under, names, multiLabel);
  return plainView(tensor.name, answer);
}

/** An axis of length 1 makes a series of an image: [channels, length, 1] and [channels, 1, length]. */
function asImageOrSeries(sample) {
  const [channels, height, width] = sample.shape;
  const flat = sample.shape.length === 3 && (height === 1) !== (width === 1);
  return flat ? {...sample, shape: [channels, height * width]} : sample;
}

function plainView(name, sample) {
  const rank = sample.shape.length, count = sample.values.length;
  if (!count) return html("p", {class: "soft"}, "empty");
  if (count === 1) return html("p", {class: "number"}, short(Number(sample.values[0])));
  if (rank === 3) return picture(name, sample);
  if (rank === 2 && sample.shape[1] > 1) return seriesChart(name, channelsOf(sample));
  const values = Array.from(sample.values, Number);
  if (rank <= 2 && count <= MOST_BARS) return numberBars(values, []);
  if (rank <= 2) return seriesChart(name, [values]);
  return html("p", {class: "soft"}, `${sample.shape.join(" x ")} values: too many axes to draw`);
}

function texts(values) {
  const shown = values.slice(0, MOST_TEXTS).map(text => html("li", {}, text));
  return html("ul", {class: "texts"}, ...shown, ...(values.length > shown.length ? [html("li", {class: "soft"}, "and more")] : []));
}

/** The answer of the classification extension, `value:index:label` each, as bars; null if it is another answer. */
function classified(tensor, row) {
  const found = sampleOf(tensor, row).values.map(text => /^([^:]+):(\d+)(?::(.*))?$/s.exec(text));
  if (!found.length || !found.every(each => each && Number.isFinite(Number(each[1])))) return null;
  return numberBars(found.map(each => Number(each[1])), found.map(each => each[3] ?? each[2]));
}
