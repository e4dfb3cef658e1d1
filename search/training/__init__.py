"""The training of one network: data, loss, optimizer, checkpoints, history, progress, time limit.

Imports `config`, `distributed`, `staging`, `supernet` and `latency`; selection, tuning and the top of the search
import it.
"""
