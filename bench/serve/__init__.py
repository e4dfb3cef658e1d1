"""``bench serve``: what serving a bundle costs, beside other servers.

Imports `dashdeploy.serve`, the runtimes and `bench.common`; the server is a process of its own.
"""
