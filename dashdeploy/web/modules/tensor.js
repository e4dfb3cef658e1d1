// Tensors as both pages hold them: {name, datatype, shape, values}, values flat in row-major order.

const FLOATS = new Set(["FP16", "FP32", "FP64"]);
const RANGES = {
  BOOL: [0, 1], UINT8: [0, 255], UINT16: [0, 65535], UINT32: [0, 4294967295],
  INT8: [-128, 127], INT16: [-32768, 32767], INT32: [-2147483648, 2147483647],
  UINT64: [0, Number.MAX_SAFE_INTEGER], INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** How many values a shape holds. */
export const sizeOf = shape => shape.reduce((product, length) => product * length, 1);

/** A shape for people, such as `3 x 1000`; a dynamic axis (-1) is `any`. */
export const shapeText = shape => shape.map(length => (length < 0 ? "any" : length)).join(" x ") || "one value";

/** The same of a whole input or output, whose first axis counts samples. */
export const batchShapeText = ([first, ...rest]) => (first < 0 && rest.length ? `batch x ${shapeText(rest)}` : shapeText(first === undefined ? [] : [first, ...rest]));

/** Whether the values are numbers; otherwise they are text. */
export const isNumeric = tensor => tensor.datatype !== "BYTES";

export const isFloat = datatype => FLOATS.has(datatype);

/**
 * The values as the data type holds them, or an Error that says which value it does not hold.
 * float32 rounds in silence, as every reader does; an integer type takes whole numbers of its range alone.
 */
export function valuesOfType(values, datatype) {
  if (!isFloat(datatype) && !RANGES[datatype]) throw new Error("this input takes text: write it into the request");
  const [low, high] = RANGES[datatype] ?? [-Infinity, Infinity];
  const converted = new Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (!Number.isFinite(value)) throw new Error(`value ${i + 1} is ${values[i]}: fill it in or leave it out`);
    if (RANGES[datatype] && (!Number.isInteger(value) || value < low || value > high)) {
      throw new Error(`value ${i + 1} is ${value}; the input takes whole numbers (${datatype}) from ${low} to ${high}`);
    }
    converted[i] = datatype === "BOOL" ? value === 1 : isFloat(datatype) ? shortest(value, datatype) : value;
  }
  return converted;
}

/** The number with as few digits as tell it apart in float32; other types as they are. */
function shortest(value, datatype) {
  if (datatype !== "FP32") return value;
  const rounded = Math.fround(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(rounded.toPrecision(digits));
    if (Math.fround(short) === rounded) return short;
  }
  return Number(rounded.toPrecision(9));
}

const MOST_VALUES = 200000, LENGTH = 16;

/** Random values for the input `spec`: normal-sized numbers, 0 or 1, or text; open axes get a length of 16, the first one 1. */
export function randomTensor({name, datatype, shape: open}) {
  const shape = open.map((length, axis) => (length > 0 ? length : axis ? LENGTH : 1)), count = sizeOf(shape);
  if (count > MOST_VALUES) throw new Error("this model's input is too large for the form");
  const kinds = {FP: () => Math.round((Math.random() * 2 - 1) * 1e4) / 1e4, BO: () => Math.random() < 0.5, BY: () => "text"};
  const value = kinds[datatype.slice(0, 2)] ?? (() => Math.round(Math.random()));
  return {name, datatype, shape, values: Array.from({length: count}, value)};
}

/** The tensors of a request of the Open Inference Protocol; those whose data is not of their shape are left out. */
export function tensorsOfRequest(request) {
  return request.inputs.map(({name, datatype, shape, data}) => ({name, datatype, shape, values: [data].flat(Infinity)}))
    .filter(({shape, values}) => Array.isArray(shape) && values.length === sizeOf(shape));
}

/** One sample of a tensor whose first axis counts samples: {shape, values} without that axis. */
export function sampleOf(tensor, row) {
  if (tensor.shape.length < 2) return {shape: tensor.shape, values: tensor.values};
  const [count, ...shape] = tensor.shape, size = sizeOf(shape), at = Math.max(0, Math.min(row, count - 1));
  return {shape, values: tensor.values.slice(at * size, (at + 1) * size)};
}

/** The channels of a sample: the first axis cut apart. */
export function channelsOf({shape, values}) {
  if (shape.length < 2) return [values];
  const size = sizeOf(shape.slice(1));
  return Array.from({length: shape[0]}, (_, i) => values.slice(i * size, (i + 1) * size));
}

/** The least and the greatest finite value of several lists; [0, 0] where there is none. */
export function rangeOf(...lists) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) {
    for (const value of list) {
      if (value < low && value > -Infinity) low = value;
      if (value > high && value < Infinity) high = value;
    }
  }
  return low > high ? [0, 0] : [low, high];
}

/** Which entry is the largest. */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
