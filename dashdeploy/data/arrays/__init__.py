"""What arrays of a user's own mean: their names, their axes, their padding, and the test part that they may lack.

Imports `dashdeploy.data.checks`, `.missing_values` and `.lazy_inputs`; nothing here makes a task.
"""
