"""What writes the operators of tiled convolutions; only `lowerings` and `passes` import it.

Imports what `lowerings` may.
"""
