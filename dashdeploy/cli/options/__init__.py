"""The options of the commands in groups, those that several commands share among them, and how values are read.

Imports the core and the console; commands import it.
"""
