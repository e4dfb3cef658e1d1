"""States that the server keeps give what a client gets that feeds them back itself, over every protocol."""

import asyncio
import itertools
import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2

IDS = itertools.count(1)


def chunks_of(count, batch=1, seed=0):
    generator = np.random.default_rng(seed)
    return [
        generator.standard_normal((batch, 8, 1 + number % 3)).astype(np.float32) for number in range(count)
    ]


def flags(number, count):
    return {"sequence_start": number == 0, "sequence_end": number == count - 1}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sequence_id", [7, 2**63 - 1, "the room", "7"])
def test_a_sequence_gives_what_the_states_fed_back_by_hand_give(client, by_hand, batch, sequence_id):
    chunks = chunks_of(4, batch)
    expected, _ = by_hand(chunks)
    for number, (chunk, y) in enumerate(zip(chunks, expected, strict=True)):
        found, _ = client.ask("gru", {"x": chunk}, sequence_id=sequence_id, **flags(number, len(chunks)))
        assert list(found) == ["y"]
        # The same engine and the same shapes: nothing is rounded otherwise.
        np.testing.assert_array_equal(found["y"], y)
    assert np.abs(expected[-1] - by_hand(chunks[-1:])[0][0]).max() > 1e-3, "the state changes nothing"


def test_states_on_another_engine(tmp_path, models, start_server, by_hand):
    """The server keeps them, so that an engine needs to know nothing of sequences."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    bundle = models.gru(tmp_path / "gru")
    chunks = chunks_of(5)
    with start_server([bundle], engine="openvino") as running:
        client = models.clients["binary"](running)
        for number, (chunk, y) in enumerate(zip(chunks, by_hand(chunks)[0], strict=True)):
            found, _ = client.ask("gru", {"x": chunk}, sequence_id=1, **flags(number, 5))
            np.testing.assert_allclose(found["y"], y, atol=1e-5)
        client.close()


def test_sequences_do_not_touch_each_other_or_requests_without_one(client, by_hand):
    streams = {name: chunks_of(3, seed=seed) for seed, name in enumerate(["a", "b", 12])}
    expected = {name: by_hand(chunks)[0] for name, chunks in streams.items()}
    state = np.zeros((1, 1, 4), np.float32)
    own = chunks_of(3, seed=9)
    for number in range(3):
        for name, chunks in streams.items():
            found, _ = client.ask("gru", {"x": chunks[number]}, sequence_id=name, **flags(number, 3))
            np.testing.assert_array_equal(found["y"], expected[name][number])
        found, _ = client.ask("gru", {"x": own[number], "h0": state})
        assert list(found) == ["y", "hn"]
        state = found["hn"]
    np.testing.assert_array_equal(state, by_hand(own)[1])


def test_a_state_is_sent_to_who_asks_for_it(client, by_hand):
    chunks = chunks_of(2)
    client.ask("gru", {"x": chunks[0]}, sequence_id=40, sequence_start=True)
    found, _ = client.ask("gru", {"x": chunks[1]}, ["hn"], sequence_id=40, sequence_end=True)
    np.testing.assert_array_equal(found["hn"], by_hand(chunks)[1])


def test_a_start_begins_anew_and_an_end_frees(client, models):
    ones = {"x": np.ones((1, 2), np.float32)}

    def total(**options):
        return client.ask("sum", ones, sequence_id=50, **options)[0]["y"].tolist()

    assert total(sequence_start=True) == [[1, 1]]
    assert total() == [[2, 2]]
    assert total(sequence_start=True) == [[1, 1]]
    assert total(sequence_end=True) == [[2, 2]]
    for options in ({}, {"sequence_end": True}):
        with pytest.raises(
            models.RefusedError, match="sequence 50 to model 'sum' must specify the START"
        ) as error:
            total(**options)
        assert error.value.status == 400
    assert total(sequence_start=True, sequence_end=True) == [[1, 1]]
    with pytest.raises(models.RefusedError, match="START"):
        total()


def test_what_does_not_fit_is_refused_and_changes_nothing(client, models):
    def ask(feeds, model="sum", **options):
        return client.ask(model, feeds, sequence_id=60, **options)

    ones, two_rows = {"x": np.ones((1, 2), np.float32)}, {"x": np.ones((2, 2), np.float32)}
    ask(ones, sequence_start=True)
    wrong = {
        "the inputs of model 'sum' disagree about the axis 'n': 'x' has 2 and 'total' has 1": two_rows,
        "input 'total' of model 'sum' is a state, which the server keeps": {**ones, "total": ones["x"]},
        "unexpected inference input 'z' for model 'sum'": {"z": ones["x"]},
    }
    for message, feeds in wrong.items():
        with pytest.raises(models.RefusedError, match=message) as error:
            ask(feeds)
        assert error.value.status == 400
    with pytest.raises(
        models.RefusedError, match=r"'double' keeps no state, so it has no sequences"
    ) as error:
        ask({"x": np.ones((1, 4), np.float32)}, "double", sequence_start=True)
    assert error.value.status == 400
    assert ask(ones)[0]["y"].tolist() == [[2, 2]]
    assert ask(two_rows, sequence_start=True)[0]["y"].tolist() == [[1, 1]] * 2
    ask(two_rows, sequence_end=True)


STRANGE = {
    "a number of no integer": {"sequence_id": 1.5},
    "too large a number": {"sequence_id": 2**64},
    "too small a number": {"sequence_id": -(2**63) - 1},
    "true": {"sequence_id": True},
    "a list": {"sequence_id": [1]},
    "a long text": {"sequence_id": "é" * 65},
    "a flag of text": {"sequence_id": 1, "sequence_start": "true"},
    "a flag of a number": {"sequence_id": 1, "sequence_end": 1},
    "a start of nothing": {"sequence_start": True},
    "an end of nothing": {"sequence_id": 0, "sequence_end": True},
    "an empty id": {"sequence_id": "", "sequence_start": True},
}


@pytest.mark.parametrize("parameters", STRANGE.values(), ids=STRANGE)
def test_strange_parameters_are_refused(running, models, parameters):
    client = models.clients["json"](running)
    with pytest.raises(models.RefusedError, match=r"sequence_|correlation ID") as error:
        client.ask("sum", {"x": np.ones((1, 2), np.float32)}, **{"sequence_start": True, **parameters})
    assert error.value.status == 400
    client.close()


def test_the_same_number_is_one_sequence_over_http_and_grpc_and_text_is_another(running, models):
    ones = {"x": np.ones((1, 2), np.float32)}
    http, grpc = (models.clients[kind](running) for kind in ("json", "grpc"))
    http.ask("sum", ones, sequence_id=2**64 - 5, sequence_start=True)
    assert grpc.ask("sum", ones, sequence_id=-5)[0]["y"].tolist() == [[2, 2]]
    with pytest.raises(models.RefusedError, match="START"):
        http.ask("sum", ones, sequence_id=str(2**64 - 5))
    grpc.ask("sum", ones, sequence_id=-5, sequence_end=True)
    http.close()
    grpc.close()


def test_a_stream_of_one_sequence_runs_in_its_order(running, by_hand):
    """All of it is sent at once, two sequences in one stream."""
    streams = {name: chunks_of(20, seed=seed) for seed, name in enumerate([71, "b"])}
    answers = queue.Queue()
    with triton.InferenceServerClient(running.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(20):
            for name, chunks in streams.items():
                tensor = triton.InferInput("x", chunks[number].shape, "FP32")
                tensor.set_data_from_numpy(chunks[number])
                client.async_stream_infer(
                    "gru", [tensor], request_id=f"{name} {number}", sequence_id=name, **flags(number, 20)
                )
        found = {}
        for _ in range(40):
            result, error = answers.get(timeout=30)
            assert error is None, error
            found[result.get_response().id] = result.as_numpy("y")
        client.stop_stream()
    for name, chunks in streams.items():
        for number, y in enumerate(by_hand(chunks)[0]):
            np.testing.assert_array_equal(found[f"{name} {number}"], y)


def test_requests_of_one_sequence_that_come_at_once_all_count(running):
    """Of 40 connections at once, each adds 1: no step is lost, and none is counted twice."""

    async def run():
        async with triton_aio.InferenceServerClient(running.grpc) as client:

            async def add(**options):
                tensor = triton_aio.InferInput("x", [1, 2], "FP32")
                tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
                answer = await client.infer("sum", [tensor], sequence_id=80, **options)
                return answer.as_numpy("y")[0, 0]

            await add(sequence_start=True)
            totals = await asyncio.gather(*[add() for _ in range(40)])
            assert sorted(totals) == list(range(2, 42))
            assert await add(sequence_end=True) == 42

    asyncio.run(run())


def test_metadata_and_config_say_what_the_server_keeps(running):
    with triton.InferenceServerClient(running.grpc) as client:
        assert "sequence" in client.get_server_metadata().extensions
        # As without sequences: who feeds the states back needs them all.
        names = [tensor.name for tensor in client.get_model_metadata("gru").inputs]
        assert names == ["x", "h0"]
        config = client.get_model_config("gru").config
        assert [(each.name, each.optional) for each in config.input] == [("x", False), ("h0", True)]
        (state,) = config.sequence_batching.state
        assert (state.input_name, state.output_name, list(state.dims)) == ("h0", "hn", [1, -1, 4])
        (zeros,) = state.initial_state
        assert (list(zeros.dims), zeros.zero_data) == ([1, 1, 4], True)
        assert state.data_type == zeros.data_type == model_config_pb2.TYPE_FP32
        assert config.sequence_batching.max_sequence_idle_microseconds == 60_000_000
        assert config.sequence_batching.oldest.max_candidate_sequences == 1024
        batched = client.get_model_config("sum").config
        assert batched.max_batch_size == 32
        assert list(batched.sequence_batching.state[0].dims) == [2]
        assert client.get_model_config("double").config.WhichOneof("scheduling_choice") == "dynamic_batching"
