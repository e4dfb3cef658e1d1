// Runs a model in onnxruntime-web, in Node, for a program at the other end of stdin and stdout.
//
// Both ends send frames: the letters ORTW, the length of a JSON header (uint32, little-endian), the header, and the
// bytes that its fields `size` add up to. The first frame is a model, each other one the inputs of a run.
import * as ort from "onnxruntime-web"; // in Node: the same .wasm file as in a browser

const MAGIC = Buffer.from("ORTW");
const ARRAYS = {
  bool: Uint8Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, int8: Int8Array,
  int16: Int16Array, int32: Int32Array, int64: BigInt64Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array,
};
console.log = console.info = console.error; // stdout is for frames

let rest = Buffer.alloc(0);
const chunks = process.stdin[Symbol.asyncIterator]();

/** The next `size` bytes; null at the end of the input. */
async function take(size) {
  const parts = [rest];
  let there = rest.length;
  while (there < size) {
    const {value, done} = await chunks.next();
    if (done) return null;
    parts.push(value);
    there += value.length;
  }
  const all = Buffer.concat(parts);
  rest = all.subarray(size);
  return all.subarray(0, size);
}

async function receive() {
  const start = await take(8);
  if (start === null) return null;
  const header = JSON.parse(await take(start.readUInt32LE(4)));
  return {header, payload: await take(header.tensors.reduce((sum, each) => sum + each.size, 0))};
}

function answer(header, payload = []) {
  const text = Buffer.from(JSON.stringify(header)), start = Buffer.alloc(8);
  MAGIC.copy(start);
  start.writeUInt32LE(text.length, 4);
  return new Promise(done => process.stdout.write(Buffer.concat([start, text, ...payload]), done));
}

function tensorsOf({header, payload}) {
  let at = 0;
  const found = {};
  for (const {name, type, dims, size, text} of header.tensors) {
    const bytes = Uint8Array.prototype.slice.call(payload, at, at + size); // a copy of its own, aligned for any type
    found[name] = new ort.Tensor(type, text ?? new ARRAYS[type](bytes.buffer), dims);
    at += size;
  }
  return found;
}

function described(tensors) {
  const payload = [], header = [];
  for (const [name, {type, dims, data}] of Object.entries(tensors)) {
    const bytes = type === "string" ? Buffer.alloc(0) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    header.push({name, type, dims, size: bytes.length, ...(type === "string" ? {text: data} : {})});
    payload.push(bytes);
  }
  return [{tensors: header}, payload];
}

const specs = metadata => metadata.map(({name, type, shape}) => ({name, type, shape}));

const first = await receive();
let session = null;
try {
  ort.env.wasm.numThreads = first.header.threads;
  session = await ort.InferenceSession.create(new Uint8Array(first.payload));
  await answer({node: process.version, version: ort.env.versions.web, inputs: specs(session.inputMetadata), outputs: specs(session.outputMetadata)});
} catch (error) {
  await answer({error: String(error.message ?? error)});
  process.exit(1);
}
for (let frame = await receive(); frame !== null; frame = await receive()) {
  try {
    const start = performance.now(), outputs = await session.run(tensorsOf(frame)), ms = performance.now() - start;
    const [header, payload] = described(outputs);
    await answer({...header, ms}, payload);
  } catch (error) {
    await answer({error: String(error.message ?? error)});
  }
}
process.exit(0); // threads of the engine would keep the process
