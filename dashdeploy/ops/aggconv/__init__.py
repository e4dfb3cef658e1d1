"""AggConv, the aggregated convolution of DASH: the module, the ways to compute it, and what each costs.

Imports `dashdeploy.ops.conv`; the search and its benchmark import it.
"""
