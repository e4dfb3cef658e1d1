"""The command line: one module per command, shared options, the console and the exit codes.

The only place that knows flags. It may import every stage; nothing imports it.
"""
