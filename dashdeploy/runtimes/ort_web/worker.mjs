// Runs models in onnxruntime-web for dashdeploy: frames of requests on stdin, frames of answers on stdout.
//
// A frame is the length of its header (4 bytes, little-endian), the header (JSON), and the bytes that the header counts
// as `bytes`. The first and only argument is the folder of the package onnxruntime-web, the second the number of threads
// (0 leaves it to the package). Standard output belongs to the frames; whatever prints, prints on stderr.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

console.log = console.info = console.debug = console.warn = console.error;

const [folder, threads] = [process.argv[2], Number(process.argv[3])];
const { version } = createRequire(import.meta.url)(join(folder, "package.json"));
const ort = await import(pathToFileURL(join(folder, "dist", "ort.node.min.mjs")));
if (threads > 0) ort.env.wasm.numThreads = threads;
ort.env.logLevel = "fatal";

// NumPy's name, ONNX Runtime's name, and the array that holds it.
const TYPES = [
  ["float32", "float32", Float32Array],
  ["float64", "float64", Float64Array],
  ["float16", "float16", Uint16Array],
  ["int64", "int64", BigInt64Array],
  ["uint64", "uint64", BigUint64Array],
  ["int32", "int32", Int32Array],
  ["uint32", "uint32", Uint32Array],
  ["int16", "int16", Int16Array],
  ["uint16", "uint16", Uint16Array],
  ["int8", "int8", Int8Array],
  ["uint8", "uint8", Uint8Array],
  ["bool", "bool", Uint8Array],
];
const byNumpy = new Map(TYPES.map(([name, type, array]) => [name, { type, array }]));
const byType = new Map(TYPES.map(([name, type]) => [type, name]));

const sessions = new Map();
let next = 0;

const described = (each) => ({
  name: each.name,
  dtype: byType.get(each.type) ?? String(each.type),
  shape: each.shape ?? [],
});

async function load(_header, body) {
  const session = await ort.InferenceSession.create(body, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
    logSeverityLevel: 4,
  });
  sessions.set(next, session);
  const [inputs, outputs] = [session.inputMetadata.map(described), session.outputMetadata.map(described)];
  return { header: { session: next++, inputs, outputs, threads: ort.env.wasm.numThreads }, parts: [] };
}

async function run({ session: id, tensors }, body) {
  const session = sessions.get(id);
  const feeds = {};
  let start = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    const { type, array } = byNumpy.get(dtype);
    const own = new Uint8Array(bytes); // aligned, unlike a place in the frame
    own.set(body.subarray(start, start + bytes));
    feeds[name] = new ort.Tensor(type, new array(own.buffer), shape);
    start += bytes;
  }
  const began = process.hrtime.bigint();
  const results = await session.run(feeds);
  const nanoseconds = Number(process.hrtime.bigint() - began);
  const [parts, described] = [[], []];
  for (const name of session.outputNames) {
    const { data, dims, type } = results[name];
    if (!(data.buffer instanceof ArrayBuffer || data.buffer instanceof SharedArrayBuffer))
      throw new Error(`output ${name} is of type ${type}, which is not numbers`);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    parts.push(bytes);
    described.push({ name, dtype: byType.get(type), shape: dims, bytes: bytes.length });
  }
  return { header: { nanoseconds, tensors: described }, parts };
}

const operations = { load, run };

// Reading: chunks are joined only as far as one frame needs.
const chunks = [];
let [waiting, ended] = [null, false];
const wake = () => { const resolve = waiting; waiting = null; resolve?.(); };
process.stdin.on("data", (chunk) => { chunks.push(chunk); wake(); });
process.stdin.on("end", () => { ended = true; wake(); });

async function read(count) {
  const taken = Buffer.allocUnsafe(count);
  let filled = 0;
  while (filled < count) {
    if (!chunks.length) {
      if (ended) process.exit(0); // whoever asked is gone
      await new Promise((resolve) => { waiting = resolve; });
      continue;
    }
    const part = chunks[0].subarray(0, count - filled);
    taken.set(part, filled);
    filled += part.length;
    if (part.length === chunks[0].length) chunks.shift();
    else chunks[0] = chunks[0].subarray(part.length);
  }
  return taken;
}

async function write({ header, parts }) {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const text = Buffer.from(JSON.stringify({ ...header, bytes }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  for (const part of [length, text, ...parts])
    if (!process.stdout.write(part)) await new Promise((resolve) => process.stdout.once("drain", resolve));
}

await write({ header: { version, node: process.versions.node }, parts: [] });
for (;;) {
  const length = (await read(4)).readUInt32LE();
  const header = JSON.parse((await read(length)).toString());
  const body = await read(header.bytes);
  for (const id of header.released) {
    await sessions.get(id)?.release();
    sessions.delete(id);
  }
  let answer;
  try {
    answer = await operations[header.operation](header, body);
  } catch (error) {
    answer = { header: { error: String(error?.message ?? error) }, parts: [] };
  }
  await write(answer);
}
