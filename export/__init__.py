"""Export: compile a run, a module or any ONNX model, choosing for every convolution the cheaper exact lowering.

`api` is the Python function, `pipeline` the way from a source to a bundle. The folders import each other in the order
lowerings, frontend, targets, planning, verify, passes, conversion; `bench` and, for costs, `search` import export.
"""
