"""The protocol over HTTP: routes, bodies, middleware, the console page, OpenAPI.

Imports `protocol`, `limits`, `repository` and `observability`; only `dashdeploy.serve.server` imports it.
"""
