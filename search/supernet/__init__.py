"""The supernet: a network whose convolutions have become AggConvs, its architecture parameters, and back.

Imports `config` and `dashdeploy.ops`; training and selection import it.
"""
