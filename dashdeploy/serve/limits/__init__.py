"""Who may send requests, and how many bytes the server holds at once.

Imports `protocol` (its errors) and the core; `http`, `grpc` and `dashdeploy.serve.server` import it.
"""
