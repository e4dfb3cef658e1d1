"""The built-in data sets: those that ship inside packages, and Darcy flow, which is generated or published.

Imports the readers and the rest of `dashdeploy.data` except the catalog, which names them.
"""
