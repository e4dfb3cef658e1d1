"""Where a bundle is deployed (Triton, KServe, a site), its sample request, and artifacts that are added to it later.

Imports `engines`, `planning`, `web`, `dashdeploy.runtimes` and `dashdeploy.artifacts`; the pipeline and
`verify` import it.
"""
