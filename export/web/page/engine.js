// The page's end of the worker that runs the models.

const worker = new Worker(new URL("worker.js", import.meta.url).href + location.search, {type: "module"});
const waiting = new Map();
let count = 0;

worker.onmessage = ({data: {id, ...answer}}) => {
  const {resolve, reject} = waiting.get(id);
  waiting.delete(id);
  if (answer.error) reject(new Error(answer.error));
  else resolve(answer);
};
worker.onerror = event => {
  for (const {reject} of waiting.values()) reject(new Error(event.message || "the engine does not start in this browser"));
  waiting.clear();
};

function ask(message) {
  return new Promise((resolve, reject) => {
    waiting.set(++count, {resolve, reject});
    worker.postMessage({id: count, ...message});
  });
}

/** Loads the file of a model under a name; {threads, version} of the engine. */
export const load = (name, path) => ask({load: name, url: new URL(path, document.baseURI).href});

/** Runs a model that was loaded; {outputs, ms}, the mean of so many repeats. */
export const run = (name, feeds, repeats = 1) => ask({run: name, feeds, repeats});
