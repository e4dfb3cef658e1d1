"""The protocol over gRPC: ``inference.proto`` and its messages, the service, the server.

Imports `protocol`, `limits`, `repository` and `observability`; `dashdeploy.serve.server` and `bench` import it.
"""
