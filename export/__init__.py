"""Export: compile a run or any ONNX model, choosing for every convolution the cheaper exact lowering.

`api` is the Python function, `pipeline` the way from a source to a bundle. Imports the core; `bench` and, for costs,
`search` import it.
"""
