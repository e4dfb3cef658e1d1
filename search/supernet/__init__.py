"""The supernet: a network whose convolutions have become AggConvs, its architecture parameters, and back.

Imports `config` and `dashdeploy.ops`; latency, training, selection, tuning and the top of the search import it.
"""
