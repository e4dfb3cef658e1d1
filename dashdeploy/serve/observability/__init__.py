"""Statistics, metrics, traces and logs.

Imports no other part of the server.
"""
