"""What is in a run or a bundle, and what this machine has.

Imports `dashdeploy.artifacts` and `dashdeploy.runtimes`; the reports and the command line import it.
"""
