"""The directory that an unfinished run is staged in, and what the run was started with.

Imports `config`; every other part of the search but `distributed` may import it.
"""
