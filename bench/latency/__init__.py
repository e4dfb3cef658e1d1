"""``bench latency``: bundles on every engine, by batch and threads, with a profile by layer.

Imports the runtimes, `dashdeploy.report` and `bench.common`.
"""
