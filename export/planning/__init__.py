"""Which lowering each convolution gets: costs, choices, the plan, and its refinement.

Imports `frontend`, `lowerings` and `targets`; verify, passes, conversion and the pipeline import it.
"""
