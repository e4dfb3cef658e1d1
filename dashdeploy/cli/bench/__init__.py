"""The ``bench`` commands, a module each, and what they all do with a result.

Imports the command line's options and console, and `dashdeploy.bench`.
"""
