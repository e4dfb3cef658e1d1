"""When and where a request runs: the queue, the batches, the engine's threads.

Imports `protocol` (its errors) and `observability`; `repository` imports it.
"""
