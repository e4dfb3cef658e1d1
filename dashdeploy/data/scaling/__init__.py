"""How inputs and outputs are scaled: what is learned of it from training data, and its part of the deployed model.

Imports `dashdeploy.data.lazy_inputs` and `dashdeploy.device_constants`.
"""
