"""The native kernels: C++ sources in `src`, what compiles them, and how export plans and writes models for them.

`build` imports the standard library alone, since it runs before anything is installed. `planning` and `artifact` may
import the rest of export, `pipeline` apart. `dashdeploy.runtimes.native` runs what they write.
"""
