"""What dashdeploy writes to disk and reads again: runs, bundles, their provenance, and folders that appear whole.

Imports only `dashdeploy.errors` and `dashdeploy.machine`; everything else may import it.
"""
