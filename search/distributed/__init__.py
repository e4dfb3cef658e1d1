"""The processes of a run, one per device: which one this is, how they start, meet and end together.

Imports `config`; training, selection and the top of the search import it.
"""
