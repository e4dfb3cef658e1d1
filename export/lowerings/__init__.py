"""The ways to compute a convolution, a module each; `registry` lists them. A new one is one more class.

Imports `dashdeploy.ops.conv` and the core; all other folders may import it.
"""
