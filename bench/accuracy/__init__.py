"""``bench accuracy``: DASH beside its own backbone, over tasks and seeds, beside what is published.

Imports `dashdeploy.data` and `bench.common`; the searches are processes of their own.
"""
