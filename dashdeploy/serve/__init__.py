"""Serving bundles over the Open Inference Protocol, version 2.

From the wire inwards: `http` and `grpc`, `protocol` (bytes and tensors), `limits`, `repository` (models),
`scheduling` (batches), `observability`; `server` runs them. Imports the core; `cli` and `bench` import it.
"""
