// Fits an array of a file to a model's input, in the one way that the shapes allow; or says why there is none.

import {shapeText, sizeOf, valuesOfType} from "./tensor.js";

const AXES = {2: ["sample", "values"], 3: ["sample", "channels", "length"], 4: ["sample", "channels", "height", "width"]};

/**
 * The tensor of the input `spec` {name, datatype, shape with -1 for what is open} that holds an array, with `notes`.
 * An array as it is comes first, then the one whose channels are last, then a list of samples of one channel.
 */
export function fitInput({shape, values, notes}, spec) {
  const found = ways(shape, spec.shape).find(way => matches(way.shape, spec.shape));
  if (!found) throw new Error(misfit(shape, spec));
  if (!sizeOf(found.shape)) throw new Error("the array is empty");
  const ordered = found.order ? transposed(values, shape, found.order) : values;
  const said = [...notes, ...(found.note ? [found.note] : [])];
  return {name: spec.name, datatype: spec.datatype, shape: found.shape, values: valuesOfType(ordered, spec.datatype), notes: said};
}

/** Every reading of an array of `shape` as an input of as many axes as `wanted`, the plainest first. */
function ways(shape, wanted) {
  const missing = wanted.length - shape.length;
  // A table of one line or one column is a list.
  if (wanted.length === 1 && shape.length === 2 && shape.includes(1)) return [{shape: [sizeOf(shape)]}];
  if (missing < 0) return [];
  const full = axes => [...Array(missing).fill(1), ...axes];
  const found = [{shape: full(shape)}];
  const swaps = {3: [0, 2, 1], 4: [0, 3, 1, 2]}[wanted.length];
  // Of the swapped axes only the first, that of samples, may be missing; a list of values is not a table.
  if (swaps && missing <= 1) {
    const order = swaps.map(axis => axis - missing).filter(axis => axis >= 0);
    const last = wanted.length === 3 ? "length by channels" : "height by width by channels";
    found.push({shape: full(order.map(axis => shape[axis])), order, note: `read as ${last}, and transposed`});
  }
  if (missing === 1 && wanted.length > 2 && wanted[1] === 1 && shape[0] > 1) {
    const [count, ...rest] = shape;
    found.push({shape: [count, 1, ...rest], note: `read as ${count} samples of one channel`});
  }
  return found;
}

const matches = (shape, wanted) => shape.length === wanted.length && wanted.every((length, axis) => length < 0 || length === shape[axis]);

function transposed(values, shape, order) {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const lengths = order.map(axis => shape[axis]), result = new Array(values.length), index = order.map(() => 0);
  for (let i = 0; i < values.length; i++) {
    result[i] = values[index.reduce((at, place, axis) => at + place * strides[order[axis]], 0)];
    for (let axis = order.length - 1; axis >= 0 && ++index[axis] === lengths[axis]; axis--) index[axis] = 0;
  }
  return result;
}

function misfit(shape, spec) {
  const names = AXES[spec.shape.length]?.slice(1).join(" x ") ?? "";
  const wanted = spec.shape.length > 1 ? spec.shape.slice(1) : spec.shape;
  const takes = `${shapeText(wanted)}${names ? ` (${names})` : ""}`;
  return `it holds ${shapeText(shape)} values, the input ${spec.name} takes ${takes}: cut or resample it first, nothing is resampled here`;
}
