"""Measurement: how fast a bundle is, told honestly."""
