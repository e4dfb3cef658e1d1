"""The models that a server holds: bundles on disk, their versions, their state and metadata.

Imports `scheduling`, `limits` and `observability`; `http` and `grpc` import it.
"""
