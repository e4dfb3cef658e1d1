"""The built-in data sets: those that ship inside packages, and Darcy flow, which is generated or published.

Import `dashdeploy.data` and its readers but not its catalog, which names them.
"""
