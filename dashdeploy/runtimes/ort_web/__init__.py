"""onnxruntime-web, ONNX Runtime compiled to WebAssembly, run in Node as one of the engines.

``package.json`` and ``package-lock.json`` pin the package; `installation` finds or installs it, `node_process` talks
to ``worker.mjs`` in a child process, and `runtime` is the engine. Imports what `dashdeploy.runtimes` may import.
"""
