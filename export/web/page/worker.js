// Runs the models beside the page, so that it stays alive. Messages {id, load} and {id, run, feeds, repeats} are answered in order.

import {env, InferenceSession, Tensor} from "../engine/ort.js";
import {fromEngine, toEngine} from "./engine_tensors.js";

const ENGINE = new URL("../engine/", import.meta.url), MOST_THREADS = 4;
const sessions = {};

/** The content of a file of the site. */
async function bytesOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${new URL(url).pathname} is missing: ${response.status}`);
  return response.arrayBuffer();
}

// Threads share memory, which a browser allows where a page is isolated from other origins.
const wished = Number(new URL(self.location).searchParams.get("threads")) || MOST_THREADS;
const threads = self.crossOriginIsolated ? Math.max(1, Math.min(wished, navigator.hardwareConcurrency)) : 1;
env.wasm.numThreads = threads;
const WASM = new URL("ort-wasm-simd-threaded.wasm", ENGINE).href, ANY = self.fetch;
env.wasm.wasmPaths = {mjs: new URL("ort-wasm-simd-threaded.js", ENGINE).href, wasm: WASM};
// Fetched at once, and given its type, which not every web server knows: so the browser compiles it while it arrives.
const engine = ANY(WASM).then(response => {
  if (!response.ok) throw new Error(`${new URL(WASM).pathname} is missing: ${response.status}`);
  return new Response(response.body, {headers: {"Content-Type": "application/wasm"}});
});
engine.catch(() => {}); // said when a model is loaded
self.fetch = (what, ...rest) => (String(what.url ?? what) === WASM ? engine : ANY(what, ...rest));

const tasks = {
  async load({load, url}) {
    const [model] = await Promise.all([bytesOf(url), engine]);
    sessions[load] = await InferenceSession.create(new Uint8Array(model));
    return {threads, version: env.versions.web};
  },
  async run({run, feeds, repeats}) {
    const session = sessions[run];
    const given = Object.fromEntries(feeds.map(tensor => [tensor.name, toEngine(tensor, Tensor)]));
    const start = performance.now();
    let outputs = null;
    for (let i = 0; i < repeats; i++) outputs = await session.run(given);
    const ms = (performance.now() - start) / repeats;
    return {ms, outputs: session.outputNames.map(name => fromEngine(name, outputs[name]))};
  },
};

let last = Promise.resolve();
self.onmessage = ({data}) => {
  last = last.then(async () => {
    try {
      self.postMessage({id: data.id, ...(await tasks["load" in data ? "load" : "run"](data))});
    } catch (error) {
      self.postMessage({id: data.id, error: error.message ?? String(error)});
    }
  });
};
