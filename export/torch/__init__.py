"""The compiled network as a torch module, and its TorchScript and torch.export files.

Imports `lowerings`, `planning`, `frontend.source` and `verify.parity`; the pipeline and `verify` import it.
"""
