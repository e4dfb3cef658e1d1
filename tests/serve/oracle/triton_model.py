"""Triton's python backend runs this file: it computes a bundle's ``model.onnx`` with ONNX Runtime.

One request after the other. That backend has no implicit state, so the states of the configuration are kept here, by
what Triton says of sequences.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend

START, END = 1, 2


class TritonPythonModel:
    """The model that lies beside this file."""

    def initialize(self, arguments):
        """Load it."""
        config = json.loads(arguments["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = Path(__file__).with_name("model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        states = config.get("sequence_batching", {}).get("state", [])
        self._pairs = {state["input_name"]: state["output_name"] for state in states}
        self._states = {}

    def execute(self, requests):
        """Answer each request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        feeds = {each.name(): decoded(each.as_numpy()) for each in request.inputs()}
        sequence = request.correlation_id()
        if self._pairs:
            if request.flags() & START:
                rows = len(next(iter(feeds.values())))
                self._states[sequence] = {name: np.zeros((rows, 2), np.float32) for name in self._pairs}
            feeds |= self._states[sequence]
        requested = set(request.requested_output_names())
        asked = [each.name for each in self._session.get_outputs() if each.name in requested]
        try:
            results = dict(
                zip(
                    [*asked, *self._pairs.values()],
                    self._session.run([*asked, *self._pairs.values()], feeds),
                    strict=True,
                )
            )
        except Exception as error:
            return backend.InferenceResponse([], backend.TritonError(str(error)))
        if self._pairs:
            self._states[sequence] = {name: results[output] for name, output in self._pairs.items()}
        if request.flags() & END:
            self._states.pop(sequence, None)
        return backend.InferenceResponse([backend.Tensor(name, encoded(results[name])) for name in asked])


def decoded(array):
    """Text as the engine takes it."""
    if array.dtype != object:
        return array
    return np.array([each.decode() for each in array.ravel()], object).reshape(array.shape)


def encoded(array):
    """Text as Triton takes it."""
    if array.dtype != object:
        return array
    return np.array([each.encode() for each in array.ravel()], object).reshape(array.shape)
