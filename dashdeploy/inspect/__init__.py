"""What is in a run or a bundle, and what this machine has.

Imports `dashdeploy.artifacts`, `dashdeploy.runtimes` and `dashdeploy.report.text_table`; the reports and the command
line import it.
"""
