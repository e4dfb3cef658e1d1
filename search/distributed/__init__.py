"""On which devices a run computes, and the processes that share it.

Imports `config`; training and the pipeline import it.
"""
