"""Convolutions in torch: single ones, and the supernet's aggregated convolution.

Imports nothing of dashdeploy but itself; backbones and stages may import it.
"""
