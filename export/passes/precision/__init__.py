"""Passes that change the element types of a model: float16, and int8 with the ranges that it is calibrated on.

They may import what `passes` may.
"""
