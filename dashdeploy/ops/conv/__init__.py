"""Single convolutions: FFT and Toom-Cook forms and modules, dead taps, padding that torch cannot say.

Imports only torch; `dashdeploy.ops.aggconv`, backbones and export import it.
"""
