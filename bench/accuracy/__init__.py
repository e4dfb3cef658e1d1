"""``bench accuracy``: DASH beside its own backbone, over tasks and seeds."""
