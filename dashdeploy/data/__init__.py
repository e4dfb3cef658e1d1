"""What is learned: tasks, their losses and metrics, and the checks and scaling of a user's arrays.

Imports `dashdeploy.artifacts` (atomic files, the cache), `dashdeploy.references` and `dashdeploy.errors`; no stage.
"""
