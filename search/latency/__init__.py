"""Latency-aware search: what candidates cost on the target, and how that enters the loss.

Imports `dashdeploy.export.planning.candidate_costs`, `supernet` and `config`.
"""
