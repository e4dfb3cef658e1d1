"""Readers of the users' own files, a module per format.

They return arrays or tasks; `dashdeploy.data` and the command line import them.
"""
