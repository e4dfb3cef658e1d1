"""The models that a server holds: bundles on disk, their versions, engines, readiness and metadata.

Imports `scheduling`, `protocol` and `observability`; `http`, `grpc` and `dashdeploy.serve.server` import it.
"""
