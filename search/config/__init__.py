"""Every setting of a search, where it comes from, and the phases and devices that the settings make.

Imports the core; every other part of the search may import it.
"""
