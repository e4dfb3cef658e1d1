"""``bench networks``: whole networks of random weights, compiled and timed as ``bench latency`` times bundles.

Imports the backbones, `dashdeploy.export`, `bench.latency` and `bench.common`.
"""
