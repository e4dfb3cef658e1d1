"""What is learned: a task with its data, loss and metric, by name or from the user's own files and arrays.

Imports `dashdeploy.errors`, `dashdeploy.references` and `dashdeploy.artifacts`; every stage may import it.
"""
