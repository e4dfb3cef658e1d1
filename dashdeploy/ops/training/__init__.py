"""How layers are computed while they are trained on a CPU: the same functions as torch's, in less time.

Imports `dashdeploy.ops.conv` and `dashdeploy.ops.aggconv`; the search imports it. Nothing here is exported or saved:
modules keep their classes, parameters and names.
"""
