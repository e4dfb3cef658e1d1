"""Single convolutions: frames and padding, dead taps, the FFT and Toom-Cook forms and their modules.

Imports only torch and NumPy; `dashdeploy.ops.aggconv`, backbones and stages import it.
"""
