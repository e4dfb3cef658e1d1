"""Convolution algorithms: the bilinear FFT form, and the aggregated convolution of the search."""
