"""What dashdeploy writes to disk and reads again: runs, bundles, their provenance, and folders that appear whole.

Imports only `dashdeploy.errors`, `dashdeploy.machine` and the data's scaling; every stage may import it.
"""
