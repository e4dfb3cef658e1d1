"""Which architecture is retrained: the short list, its candidates, cross-validation, the comparison.

Imports `training`, `supernet` and `config`; the pipeline imports it.
"""
