"""The engine of the native kernels: the library's loader, programs, and models that run on it.

`dashdeploy.export.native` holds the sources of the library and compiles it into this folder.
"""
