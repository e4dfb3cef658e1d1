"""What arrays of a user's own mean: their names, their axes, their padding, and the test part that they may lack.

Imports `dashdeploy.data.checks` and `dashdeploy.data.missing_values`; nothing here makes a task.
"""
