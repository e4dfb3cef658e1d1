"""``bench engines``: one model in every engine that is here: measure, report, page.

Imports `bench.common`, `bench.latency`, `bench.networks`, `export` and the core; `cli` and `bench.show` import it.
"""
