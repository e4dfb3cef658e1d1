"""The protocol over HTTP: routes, bodies, middleware, the console's page, OpenAPI.

Imports `protocol`, `repository`, `limits` and `observability`; `dashdeploy.serve.server` imports it.
"""
