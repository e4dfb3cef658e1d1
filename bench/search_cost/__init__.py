"""``bench search-cost``: what a step of the search costs, by the way AggConv is computed.

Imports the backbones, `dashdeploy.ops`, `dashdeploy.search.supernet` and `bench.common`.
"""
