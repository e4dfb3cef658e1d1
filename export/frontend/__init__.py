"""What is exported: runs, modules and ONNX files, read into one form, and the convolutions found there.

Imports the core and `lowerings`, whose terms describe a convolution; the other folders import it.
"""
