"""Inputs on their way to a network: checked, scaled, brought to one length, made on demand, augmented.

Imports only `dashdeploy.errors`.
"""
