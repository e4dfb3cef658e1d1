"""The protocol over gRPC: messages, service, server.

Imports `protocol`, `repository`, `limits` and `observability`; `dashdeploy.serve.server` imports it.
"""
