"""How sequences begin, wait, move and end: limits, idleness, new versions, broken engines, overload."""

import itertools
import json
import queue
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.serve.watching import metric, until, until_waiting

ONES = {"x": np.ones((1, 2), np.float32)}


@pytest.fixture
def ask(models):
    """Sends one request of a sequence over HTTP, and gives the total and the version that ran."""

    def send(running, sequence_id, model="sum", **options):
        client = models.clients["binary"](running)
        try:
            found, version = client.ask(model, ONES, sequence_id=sequence_id, **options)
            return found["y"][0, 0], version
        finally:
            client.close()

    return send


def test_more_sequences_than_allowed_are_refused_until_one_ends(tmp_path, models, start_server, ask):
    with start_server([models.sum(tmp_path / "sum")], max_sequences=2) as running:
        assert ask(running, 1, sequence_start=True) == (1, "1")
        ask(running, 2, sequence_start=True)
        assert metric(running, "dashdeploy_live_sequences", model="sum", version="1") == 2
        for kind in models.clients:
            client = models.clients[kind](running)
            with pytest.raises(models.RefusedError, match="model 'sum' has 2 live sequences") as error:
                client.ask("sum", ONES, sequence_id=3, sequence_start=True)
            assert error.value.status == 503
            client.close()
        assert metric(running, "nv_inference_request_failure", model="sum", reason="REJECTED") == 3
        # Those that are there go on and may begin anew, and the states still come by hand.
        assert ask(running, 2) == (2, "1")
        assert ask(running, 1, sequence_start=True) == (1, "1")
        client = models.clients["binary"](running)
        assert client.ask("sum", {**ONES, "total": ONES["x"]})[0]["next_total"].tolist() == [[2, 2]]
        client.close()
        ask(running, 2, sequence_end=True)
        assert ask(running, 3, sequence_start=True, sequence_end=True) == (1, "1")
        assert ask(running, 1) == (2, "1")
        assert metric(running, "dashdeploy_live_sequences", model="sum", version="1") == 1


def test_an_idle_sequence_ends_by_itself(tmp_path, models, start_server, ask):
    expired = "dashdeploy_sequences_expired_total"
    with start_server([models.sum(tmp_path / "sum")], sequence_idle_seconds=2) as running:
        ask(running, "left", sequence_start=True)
        totals = itertools.count(1)

        def one_expires_while_the_other_is_kept():
            total = next(totals)
            assert ask(running, "kept", sequence_start=total == 1) == (total, "1")
            return metric(running, expired, model="sum")

        # For longer in all than the limit, but never idle for so long.
        until(one_expires_while_the_other_is_kept)
        assert metric(running, "dashdeploy_live_sequences", model="sum") == 1
        assert metric(running, expired, model="sum") == 1
        with pytest.raises(models.RefusedError, match="START flag"):
            ask(running, "left")
        assert ask(running, "kept") == (next(totals), "1")
        # Without any request, too.
        until(lambda: metric(running, "dashdeploy_live_sequences", model="sum") == 0)


def test_a_sequence_stays_with_the_version_that_it_began_on(tmp_path, models, start_server, ask):
    folder = tmp_path / "all"
    models.sum(folder / "1", name="sum", version="1")
    with start_server(
        [folder], reload_seconds=0.1, version_policies={"": {"latest": 1}}, sequence_idle_seconds=20
    ) as running:
        assert ask(running, 1, sequence_start=True) == (1, "1")
        assert ask(running, 2, sequence_start=True) == (1, "1")
        models.sum(tmp_path / "new", name="sum", version="2", factor=10)
        (tmp_path / "new").rename(folder / "2")
        until(lambda: httpx.get(f"http://{running.http}/v2/models/sum").json()["versions"] == ["2"])
        assert ask(running, 1) == (2, "1")
        assert ask(running, 3, sequence_start=True) == (10, "2")
        assert ask(running, 3, model_version="2") == (20, "2")
        with pytest.raises(models.RefusedError, match="sequence 1 of model 'sum' began on version 1, not 2"):
            ask(running, 1, model_version="2")
        assert metric(running, "dashdeploy_live_sequences", model="sum", version="1") == 2
        assert metric(running, "dashdeploy_live_sequences", model="sum", version="2") == 1
        assert ask(running, 2, sequence_start=True) == (10, "2")
        assert ask(running, 1, sequence_end=True) == (3, "1")
        assert metric(running, "dashdeploy_live_sequences", model="sum", version="1") is None
        assert ask(running, 1, sequence_start=True) == (10, "2")


def test_a_sequence_goes_on_with_the_content_that_was_replaced(tmp_path, models, start_server, ask):
    models.sum(tmp_path / "sum")
    with start_server([tmp_path / "sum"], reload_seconds=0.1) as running:
        ask(running, 1, sequence_start=True)
        models.sum(tmp_path / "fresh" / "sum", factor=10)
        (tmp_path / "sum").rename(tmp_path / "old")
        (tmp_path / "fresh" / "sum").rename(tmp_path / "sum")
        until(lambda: metric(running, "dashdeploy_model_reloads_total", model="sum") == 1)
        assert ask(running, 1, model_version="1") == (2, "1")
        assert ask(running, 2, sequence_start=True) == (10, "1")
        assert ask(running, 1, sequence_end=True) == (3, "1")


def test_unloading_a_model_ends_its_sequences(tmp_path, models, start_server, ask):
    with start_server([models.sum(tmp_path / "sum")], allow_model_control=True) as running:
        ask(running, 1, sequence_start=True)
        with triton.InferenceServerClient(running.grpc) as client:
            client.unload_model("sum")
            assert metric(running, "dashdeploy_live_sequences", model="sum") is None
            client.load_model("sum")
        with pytest.raises(models.RefusedError, match="START"):
            ask(running, 1)


def test_a_sequence_survives_a_restart_of_the_engine(tmp_path, models, start_server, ask):
    switch = tmp_path / "broken"
    with start_server([models.sum(tmp_path / "sum")], breaks=str(switch)) as running:
        ask(running, 1, sequence_start=True)
        ask(running, 1)
        switch.touch()
        with pytest.raises(models.RefusedError) as error:
            ask(running, 1)
        assert error.value.status in (500, 503)
        switch.unlink()
        until(lambda: httpx.get(f"http://{running.http}/v2/models/sum/ready").status_code == 200, 20)
        # The request that failed changed nothing, so the client sends it again.
        assert ask(running, 1) == (3, "1")


def test_a_failed_start_begins_nothing(tmp_path, models, start_server, ask):
    switch = tmp_path / "broken"
    with start_server([models.sum(tmp_path / "sum")], breaks=str(switch)) as running:
        switch.touch()
        with pytest.raises(models.RefusedError):
            ask(running, 1, sequence_start=True)
        switch.unlink()
        until(lambda: httpx.get(f"http://{running.http}/v2/models/sum/ready").status_code == 200, 20)
        with pytest.raises(models.RefusedError, match="START"):
            ask(running, 1)
        assert metric(running, "dashdeploy_live_sequences", model="sum") == 0


@pytest.fixture
def held_sum(tmp_path, models, start_server, gate):
    """A server whose model runs no further while the gate holds, with four places and one sequence."""
    options = {"holds": str(gate.path), "queue_size": 4, "instances": 2}
    with start_server([models.sum(tmp_path / "sum")], **options) as running:
        yield running


def test_requests_that_wait_for_their_turn_take_places(held_sum, gate, models, ask):
    ask(held_sum, 1, sequence_start=True)
    gate.hold()

    def attempt(_):
        try:
            return ask(held_sum, 1)[0]
        except models.RefusedError as error:
            return error.status

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(attempt, 0)
        until(gate.holds_a_call)
        others = [pool.submit(attempt, number) for number in range(11)]
        until(lambda: sum(each.done() for each in others) == 7)
        gate.release()
        found = [each.result() for each in others]
    assert first.result() == 2
    assert found.count(503) == 7
    assert sorted(each for each in found if each != 503) == [3, 4, 5, 6]
    assert ask(held_sum, 1, sequence_end=True)[0] == 7


def test_a_turn_that_comes_too_late_is_given_up_and_costs_no_step(held_sum, gate, models, ask):
    ask(held_sum, 1, sequence_start=True)
    gate.hold()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, held_sum, 1)
        until(gate.holds_a_call)
        with pytest.raises(models.RefusedError, match="request timeout expired in the queue") as error:
            ask(held_sum, 1, timeout=50_000)
        assert error.value.status == 503
        third = pool.submit(ask, held_sum, 1)
        until_waiting(held_sum, "sum", 1)
        time.sleep(0.2)
        gate.release()
        assert first.result()[0] == 2
        assert third.result()[0] == 3
    assert metric(held_sum, "nv_inference_request_failure", model="sum", reason="OTHER") == 1
    # The third one waited for 0.2 s and more, which is part of its time.
    assert metric(held_sum, "nv_inference_queue_duration_us", model="sum") > 200_000


def test_a_client_that_leaves_while_it_waits_costs_no_step(held_sum, gate, ask):
    ask(held_sum, 1, sequence_start=True)
    gate.hold()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, held_sum, 1)
        until(gate.holds_a_call)
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [100, 100]}
        body = json.dumps({"inputs": [tensor], "parameters": {"sequence_id": 1}}).encode()
        host, port = held_sum.http.split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            until_waiting(held_sum, "sum", 1)
        until_waiting(held_sum, "sum", 0)
        with triton.InferenceServerClient(held_sum.grpc) as client:
            grpc_tensor = triton.InferInput("x", [1, 2], "FP32")
            grpc_tensor.set_data_from_numpy(np.full((1, 2), 100, np.float32))
            answers = queue.Queue()
            call = client.async_infer(
                "sum", [grpc_tensor], lambda result, error: answers.put((result, error)), sequence_id=1
            )
            until_waiting(held_sum, "sum", 1)
            call.cancel()
            until_waiting(held_sum, "sum", 0)
            result, error = answers.get(timeout=10)
            assert result is None
            assert isinstance(error, InferenceServerException)
        gate.release()
        assert first.result()[0] == 2
    assert ask(held_sum, 1)[0] == 3
    assert metric(held_sum, "nv_inference_request_failure", model="sum", reason="CANCELED") == 2


def test_different_sequences_run_at_once_and_share_batches(tmp_path, models, start_server):
    with start_server([models.sum(tmp_path / "sum")], cost=0.1, measure=False) as running:

        def follow(number):
            client = models.clients["grpc"](running)
            feeds = {"x": np.full((1, 2), number, np.float32)}
            totals = [
                client.ask("sum", feeds, sequence_id=number, sequence_start=step == 0)[0]["y"][0, 0]
                for step in range(4)
            ]
            client.close()
            return totals

        start = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(follow, range(1, 17)))
        assert found == [[number * step for step in range(1, 5)] for number in range(1, 17)]
        # One after the other they would take 6.4 s.
        assert time.monotonic() - start < 4
        statistics = httpx.get(f"http://{running.http}/v2/models/sum/stats").json()["model_stats"][0]
        assert max(entry["batch_size"] for entry in statistics["batch_stats"]) > 1
        assert statistics["inference_count"] == 64
        assert statistics["inference_stats"]["success"]["count"] == 64


def test_states_may_not_fill_the_memory(tmp_path, models, start_server):
    """States of 3200 bytes each, for a body limit of 4 KiB: 64 KiB in all are kept."""
    with start_server([models.sum(tmp_path / "sum")], body_limit=4096) as running:
        client = models.clients["binary"](running)
        rows = {"x": np.ones((400, 2), np.float32)}
        begun = 0
        with pytest.raises(models.RefusedError, match="bytes of states") as error:
            for number in range(1, 100):
                client.ask("sum", rows, ["y"], sequence_id=number, sequence_start=True)
                begun = number
        assert error.value.status == 503
        assert begun == 16 * 4096 // 3200
        client.ask("sum", rows, sequence_id=1, sequence_end=True)
        client.ask("sum", rows, sequence_id=99, sequence_start=True)
        client.close()
