// Tensors of the page as onnxruntime-web has them, and back.

const KINDS = {
  BOOL: ["bool", values => Uint8Array.from(values, Number)],
  UINT8: ["uint8", values => Uint8Array.from(values)], UINT16: ["uint16", values => Uint16Array.from(values)],
  UINT32: ["uint32", values => Uint32Array.from(values)], UINT64: ["uint64", values => BigUint64Array.from(values, BigInt)],
  INT8: ["int8", values => Int8Array.from(values)], INT16: ["int16", values => Int16Array.from(values)],
  INT32: ["int32", values => Int32Array.from(values)], INT64: ["int64", values => BigInt64Array.from(values, BigInt)],
  FP16: ["float16", halves], FP32: ["float32", values => Float32Array.from(values)], FP64: ["float64", values => Float64Array.from(values)],
  BYTES: ["string", values => Array.from(values, String)],
};
const NAMES = Object.fromEntries(Object.entries(KINDS).map(([name, [type]]) => [type, name]));

function halves(values) {
  if (typeof Float16Array === "undefined") throw new Error("this browser has no 16-bit numbers; take a newer one");
  return Float16Array.from(values);
}

/** The engine's tensor of {name, datatype, shape, values}; `Tensor` is onnxruntime-web's class. */
export function toEngine({datatype, shape, values}, Tensor) {
  const [type, convert] = KINDS[datatype];
  return new Tensor(type, convert(values), shape);
}

/** {name, datatype, shape, values} of an engine's tensor. */
export function fromEngine(name, {type, dims, data}) {
  const big = type === "int64" || type === "uint64";
  const values = Array.from(data, big ? Number : type === "bool" ? Boolean : value => value);
  return {name, datatype: NAMES[type], shape: [...dims], values};
}
