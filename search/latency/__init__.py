"""Latency-aware search: what candidates cost on the target, and how that enters the loss.

Imports `config`, `supernet` and `dashdeploy.export.planning.candidate_costs`; training, selection and the top of the
search import it.
"""
