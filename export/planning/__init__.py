"""Which lowering each convolution gets: costs, choices, the plan, and its refinement.

Imports `lowerings` and `targets`; the pipeline imports it.
"""
