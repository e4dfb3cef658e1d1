"""Where a bundle is deployed (Triton, KServe), its sample request, and artifacts that are added to it later.

Imports `engines`, `planning`, `dashdeploy.runtimes` and `dashdeploy.artifacts`; the pipeline and
`verify` import it.
"""
