"""Convolution algorithms in torch: the supernet's aggregated convolution, and the bilinear forms.

Imports only torch and `dashdeploy.errors`; backbones and stages may import it.
"""
