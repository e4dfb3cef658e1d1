"""Passes that write operators as one engine likes them; the numbers stay the same.

They may import what `passes` may.
"""
