"""The ways to compute a convolution, a module each; `registry` lists them. A new one is one more class.

Imports `dashdeploy.ops.conv`; planning, passes and torch import it.
"""
