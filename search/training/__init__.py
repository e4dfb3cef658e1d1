"""One training phase: data, loss, schedule, checkpoints, progress, logs.

Imports `config`, `supernet`, `latency` and `distributed`; selection, tuning and the pipeline import it.
"""
