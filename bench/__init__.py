"""Measurement: how fast a bundle, a layer, a network, a search or a server is. A folder for each command.

May import every stage; only `cli` imports it.
"""
