"""A compiled float32 model: built, verified and raced; and the same in another precision, verified again.

Imports `frontend`, `passes`, `planning`, `targets` and `verify`; the pipeline imports it.
"""
