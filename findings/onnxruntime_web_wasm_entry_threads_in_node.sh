#!/usr/bin/env bash
# onnxruntime-web's entry `onnxruntime-web/wasm` loads models in Node with one thread and fails with two: "fetch failed".
#
# The entry for pages has no build for Node. With one thread it still reads its .wasm file from disk; with more it asks
# `fetch` for it, which knows no file: addresses. The main entry, `onnxruntime-web`, resolves to a build for Node and runs
# the same .wasm file with any number of threads.
#
# Seen with onnxruntime-web 1.30.0 and Node 20.20.2: "no available backend found. ERR: [wasm] TypeError: fetch failed".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true, "type": "module"}' > package.json
npm install --silent --ignore-scripts --no-audit --no-fund 'onnxruntime-web@1.30.0'
cat > load.js <<'JAVASCRIPT'
const [entry, threads] = process.argv.slice(2);
const ort = await import(entry);
ort.env.wasm.numThreads = Number(threads);
// y = Relu(x), float32 [2]
const model = Uint8Array.from(atob("CAk6MwoMCgF4EgF5IgRSZWx1EgFnWg8KAXgSCgoICAESBAoCCAJiDwoBeRIKCggIARIECgIIAkIECgAQEQ=="), letter => letter.charCodeAt(0));
try {
  await ort.InferenceSession.create(model);
  console.log("loads");
} catch (error) {
  console.log(error.message);
}
process.exit(0);
JAVASCRIPT
for entry in onnxruntime-web/wasm onnxruntime-web; do
  for threads in 1 2; do
    said=$(node load.js "$entry" "$threads")
    echo "$entry, $threads thread(s): $said"
    case "$entry $threads" in
      "onnxruntime-web/wasm 2") [[ $said == *"TypeError: fetch failed"* ]] ;;
      *) [[ $said == loads ]] ;;
    esac
  done
done
