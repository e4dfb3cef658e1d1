"""Batches in pieces: the same numbers, pieces of the right size, and threads that are used."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.runtimes.in_pieces import InPieces, pieces_of
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


class Observed:
    """A runtime that notes the samples and the thread of each call."""

    def __init__(self, model, threads):
        self._runtime = OnnxRuntime(model, threads=threads)
        self.inputs, self.outputs, self.threads = self._runtime.inputs, self._runtime.outputs, threads
        self.calls = []

    def run(self, feeds):
        self.calls.append((len(feeds["signal"]), threading.current_thread().name))
        return self._runtime.run(feeds)

    def describe(self):
        return self._runtime.describe()


@pytest.fixture
def loaded():
    return []


@pytest.fixture
def load(classifier, loaded):
    def load_with(threads):
        loaded.append(Observed(classifier, threads))
        return loaded[-1]

    return load_with


def signal(samples):
    return np.random.default_rng(1).standard_normal((samples, 3, 40), dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("samples", [0, 1, 2, 3, 8, 9, 33])
def test_a_batch_gives_what_it_gives_as_a_whole(classifier, load, threads, samples):
    whole = OnnxRuntime(classifier, threads=1).run({"signal": signal(samples)})["scores"]
    pieces = InPieces(load, 4, threads).run({"signal": signal(samples)})["scores"]
    assert pieces.shape == whole.shape == (samples, 5)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=2e-6 * np.abs(whole).max(initial=1))


def test_one_thread_runs_pieces_one_after_the_other_in_the_callers_thread(load, loaded):
    runtime = InPieces(load, 4, 1)
    runtime.run({"signal": signal(9)})
    runtime.run({"signal": signal(3)})
    assert [each.threads for each in loaded] == [1]
    assert [samples for samples, _ in loaded[0].calls] == [3, 3, 3, 3]
    assert {name for _, name in loaded[0].calls} == {threading.current_thread().name}
    assert runtime.describe().endswith("1 thread(s), batches in pieces of 4")


def test_threads_have_a_piece_each_of_a_second_copy_that_is_loaded_when_it_is_needed(load, loaded):
    runtime = InPieces(load, 4, 2)
    runtime.run({"signal": signal(1)})
    assert [each.threads for each in loaded] == [2]
    assert loaded[0].calls == [(1, threading.current_thread().name)]
    runtime.run({"signal": signal(12)})
    assert [each.threads for each in loaded] == [2, 1]
    assert [samples for samples, _ in loaded[1].calls] == [3, 3, 3, 3]
    assert all(name.startswith("dashdeploy-piece") for _, name in loaded[1].calls)


def test_an_engines_choice_of_threads_is_kept_for_a_sample_alone(load, loaded):
    InPieces(load, 4).run({"signal": signal(1)})
    assert loaded[0].threads is None


def test_an_error_in_a_piece_reaches_the_caller(load):
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        InPieces(load, 1, 2).run({"signal": signal(4)[:, :2]})


def test_what_has_no_common_first_axis_runs_as_a_whole(load, loaded):
    with pytest.raises(Exception, match="nothing"):
        InPieces(load, 1, 2).run({"signal": signal(4), "nothing": np.zeros(3, np.float32)})
    assert [samples for samples, _ in loaded[0].calls] == [4]


@given(st.integers(0, 200), st.integers(1, 16), st.integers(1, 64))
def test_pieces_hold_at_most_what_they_may_and_fill_the_threads(samples, piece, threads):
    count = pieces_of(samples, piece, threads)
    assert 1 <= count <= max(1, samples)
    rounds = -(-count // threads)
    if count == 1:
        assert samples <= piece or samples < 0.75 * threads * -(-samples // threads)
    else:
        assert -(-samples // count) <= piece
        assert samples >= 0.75 * threads  # a thread without a piece is worth a quarter at most
        assert rounds * threads >= count > (rounds - 1) * threads


def test_few_samples_leave_the_threads_to_the_operators():
    assert [pieces_of(samples, 4, 8) for samples in (1, 2, 5, 6, 8, 9, 12, 32, 33, 64)] == [
        *(1, 1, 1, 6, 8, 1, 8, 8, 16, 16)
    ]
