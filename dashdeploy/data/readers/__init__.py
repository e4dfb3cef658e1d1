"""Readers of the users' own files, a module per format, which make tasks of them.

Import `dashdeploy.data` but not its catalog, the data sets or NAS-Bench-360, which read with them.
"""
