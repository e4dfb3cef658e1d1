"""``make gpu-check``: what a GPU does with everything that is meant for one, in at most eight minutes.

``start.py`` is a script that needs Python alone; it makes the rest importable, which imports every stage. A section
is a file with a function ``rows``; `measure` runs each in a process of its own.
"""
