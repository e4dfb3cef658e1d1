"""From bytes to tensors and back: JSON, binary tensors and Protocol Buffers messages, checked against the model.

Imports the core and `dashdeploy.serve.settings`, and no other part of the server.
"""
