// An array from a .npy file. Source of the format: NumPy, "NEP 1" and numpy.lib.format, versions 1.0 to 3.0.

const MAGIC = "\x93NUMPY";
const TYPES = {
  f2: [2, float16], f4: [4, (view, at, little) => view.getFloat32(at, little)], f8: [8, (view, at, little) => view.getFloat64(at, little)],
  i1: [1, (view, at) => view.getInt8(at)], i2: [2, (view, at, little) => view.getInt16(at, little)],
  i4: [4, (view, at, little) => view.getInt32(at, little)], i8: [8, (view, at, little) => whole(view.getBigInt64(at, little))],
  u1: [1, (view, at) => view.getUint8(at)], u2: [2, (view, at, little) => view.getUint16(at, little)],
  u4: [4, (view, at, little) => view.getUint32(at, little)], u8: [8, (view, at, little) => whole(view.getBigUint64(at, little))],
  b1: [1, (view, at) => view.getUint8(at)],
};

/** {shape, values, notes} of the bytes (an ArrayBuffer), or an Error that says what is wrong. */
export function readNpy(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  if (bytes.length < 12 || String.fromCharCode(...bytes.subarray(0, 6)) !== MAGIC) throw new Error("this is not a .npy file");
  const long = bytes[6] >= 2, start = long ? 12 : 10;
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw new Error("the file is cut short");
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const type = /'descr':\s*'([<>|=])?(\w+)'/.exec(header), axes = /'shape':\s*\(([^)]*)\)/.exec(header);
  if (!type || !axes) throw new Error("the array is of records: save one plain array");
  if (!TYPES[type[2]]) throw new Error(`the array is of type ${type[2]}: save numbers`);
  const shape = (axes[1].match(/\d+/g) ?? []).map(Number), count = shape.reduce((product, length) => product * length, 1);
  const [size, read] = TYPES[type[2]], little = type[1] !== ">";
  if (bytes.length - end < count * size) throw new Error("the file is cut short");
  const values = new Array(count);
  for (let i = 0; i < count; i++) values[i] = read(view, end + i * size, little);
  return {shape, values: /'fortran_order':\s*True/.test(header) ? rowMajor(values, shape) : values, notes: []};
}

/** Values whose first axis runs fastest, with the last one fastest. */
function rowMajor(values, shape) {
  const result = new Array(values.length), strides = [];
  shape.reduce((stride, length, axis) => ((strides[axis] = stride), stride * length), 1);
  const index = new Array(shape.length).fill(0);
  for (let i = 0; i < values.length; i++) {
    result[i] = values[index.reduce((at, place, axis) => at + place * strides[axis], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
  return result;
}

function whole(big) {
  if (big > Number.MAX_SAFE_INTEGER || big < Number.MIN_SAFE_INTEGER) throw new Error(`the array holds ${big}, which a page cannot hold`);
  return Number(big);
}

/** IEEE 754 half precision: 1 sign, 5 exponent and 10 fraction bits. */
function float16(view, at, little) {
  const bits = view.getUint16(at, little), sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
