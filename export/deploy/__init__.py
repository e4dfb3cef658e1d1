"""What engines that scale are given: Triton repositories, KServe services, sample requests.

Imports `engines` and `dashdeploy.artifacts`; the pipeline imports it.
"""
