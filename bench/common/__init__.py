"""What the benchmarks share: the head of a result, checks of arguments, peak memory.

Imports the core alone; the folders of the commands import it.
"""
