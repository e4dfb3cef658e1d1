"""Statistics, metrics, traces and logs.

Imports the core, and no other part of the server; every part but `protocol` and `limits` imports it.
"""
