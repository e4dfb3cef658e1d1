"""Serving bundles over the Open Inference Protocol, version 2.

`server` is the life of the process. From the wire inwards: `http` and `grpc`, `protocol` (bytes and tensors), then
`limits`, `scheduling` (batches) and `repository` (models); `observability` is beside them. Imports the core; `cli`
and `bench` import it.
"""
