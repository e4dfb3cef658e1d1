"""NAS-Bench-360: tasks read from the benchmark's own files, with its splits, losses and metrics.

R. Tu, N. Roberts, M. Khodak, J. Shen, F. Sala, A. Talwalkar, "NAS-Bench-360: Benchmarking neural architecture search
on diverse tasks" (arXiv 2110.05668). The benchmark reports errors, 1 - accuracy and so on; here are the metrics
themselves. What the benchmark does to training data at random (crops, flips, noise, skies) is left out. Darcy flow
is in `dashdeploy.data.datasets.darcy`.

Imports `dashdeploy.data` and its readers but not its catalog, which names the tasks.
"""
