"""Options that several commands share, and how their values are read.

Imports only the core; commands import it.
"""
