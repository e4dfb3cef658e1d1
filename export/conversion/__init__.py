"""A compiled float32 model in another precision: converted, raced again where that decides, and verified again.

Imports `frontend`, `passes`, `planning`, `targets` and `verify`; the pipeline imports it.
"""
