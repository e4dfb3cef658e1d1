"""The networks whose convolutions are searched, a module each, and how they are built by name.

Imports `dashdeploy.ops` and `dashdeploy.artifacts`; every stage may import it.
"""
