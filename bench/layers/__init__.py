"""``bench layers``: single convolutions, direct against the lowering that the planner chooses.

Imports `dashdeploy.export` and `bench.common`.
"""
