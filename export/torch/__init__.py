"""The compiled network as a torch module, and its TorchScript and torch.export files.

Imports `lowerings` and `planning`; the pipeline imports it.
"""
