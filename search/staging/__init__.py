"""The directory that an unfinished run is staged in, and what the run was started with.

Imports `config`; training, selection, tuning and the top of the search import it.
"""
