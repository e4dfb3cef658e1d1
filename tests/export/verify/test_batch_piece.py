"""In pieces of how many samples batches run: what is chosen of measured times, and for which models."""

import numpy as np
import pytest

from dashdeploy.export.verify import batch_piece
from dashdeploy.export.verify.batch_piece import choose_piece, measure_piece
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


@pytest.mark.parametrize(
    ("milliseconds_per_sample", "piece"),
    [
        ((10, 9.2, 9.0, 9.1, 10.5), 4),
        ((10, 10.3, 9.0, 9.0, 9.0), 1),  # a batch of two would cost more than two alone
        ((10, 9.95, 9.94, 9.93, 9.92), 1),  # not worth the memory
        ((10, 9.5, 9.0, 8.5, 8.0), 16),
        ((10, 10.1, 9.0, 10.3, 5.0), 4),
        ((0.5, 0.4, 0.3, 0.25, 0.3), 8),
        ((0.5, 0.6, 0.7, 0.8, 0.9), None),  # too quick for pieces of one
    ],
)
def test_a_sample_costs_least_and_never_more_than_alone(milliseconds_per_sample, piece):
    sizes = (1, 2, 4, 8, 16)
    seconds = {size: 1e-3 * size * each for size, each in zip(sizes, milliseconds_per_sample, strict=True)}
    assert choose_piece(seconds) == piece


@pytest.fixture
def timed(monkeypatch):
    """Times as if four samples at once were best, whatever runs."""
    costs = {"1": 1.0, "2": 1.9, "4": 3.2, "8": 7.9, "16": 20.0}
    monkeypatch.setattr(
        batch_piece, "interleaved", lambda calls, **_: {name: np.full(3, costs[name]) for name in calls}
    )


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("g (float[b,4,40] x) => (float[b,6,40] y) { y = Conv<pads = [4,4]>(x, w) }", 4),
        ("g (float[3,4,40] x) => (float[3,6,40] y) { y = Conv<pads = [4,4]>(x, w) }", None),
        ("g (float[b,4,n] x) => (float[b,6,n] y) { y = Conv<pads = [4,4]>(x, w) }", None),
        # Rows that depend on each other.
        (
            """g (float[b,4,40] x) => (float[b,6,40] y) {
                c = Conv<pads = [4,4]>(x, w)  m = ReduceMax<axes = [0]>(c)  y = Sub(c, m) }""",
            None,
        ),
    ],
)
def test_only_batches_of_independent_rows_are_cut(onnx_model, timed, text, piece):  # noqa: ARG001
    runtime = OnnxRuntime(onnx_model(text, w=(6, 4, 9)).SerializeToString(), threads=1)
    assert measure_piece(runtime, runtime.inputs, runtime.outputs) == piece
