"""The native kernels: C++ sources in `src` and what compiles them; `dashdeploy.runtimes.native` runs them.

Imports the standard library alone, since the build runs it before anything is installed.
"""
