"""Which architecture is retrained: the search by gradient, then the short list that is trained and compared.

Imports `training` and what that imports; the top of the search imports it.
"""
