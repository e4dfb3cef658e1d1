"""Who may ask, and how much the server holds at once.

Imports only `dashdeploy.errors` and `dashdeploy.serve.protocol`.
"""
