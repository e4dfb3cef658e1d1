"""Overload, replacement, corruption, stopping and killing while requests come in: nothing is lost or wrong."""

import http.client
import json
import queue
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from dashdeploy.artifacts.atomic import rename_into_place
from tests.serve.watching import until, until_waiting

SECONDS = 30
"""In which what is waited for comes about, with many clients at once."""


def infer(connection, values):
    """One binary request over a kept-alive connection: (status, answer or error, version, headers)."""
    x = np.asarray(values, np.float32).reshape(-1, 4)
    tensor = {"name": "x", "shape": x.shape, "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    connection.request("POST", "/v2/models/double/infer", header + x.tobytes(), headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        return response.status, json.loads(body)["error"], None, response.headers
    length = int(response.headers["Inference-Header-Content-Length"])
    version = json.loads(body[:length])["model_version"]
    return 200, np.frombuffer(body[length:], np.float32), version, response.headers


class Client(threading.Thread):
    """Sends one request after the other until told to stop, and checks every answer against its input.

    Attributes:
        outcomes: how many requests ended with which status; "wrong" for a wrong answer.
        refusals: seconds that each refusal took.
        accepted: seconds that each accepted request took.
        versions: the versions that answered.
        lost: the error by which a request ended without any answer, if one did.
    """

    def __init__(self, address, number):
        super().__init__()
        self.address, self.number = address, number
        self.stopped = threading.Event()
        self.outcomes, self.versions = Counter(), Counter()
        self.refusals, self.accepted, self.lost = [], [], None
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        step = 0
        while not self.stopped.is_set():
            step += 1
            values = [self.number, step, self.number + step, 1]
            start = time.perf_counter()
            try:
                status, answer, version, headers = infer(connection, values)
            except (OSError, http.client.HTTPException) as error:
                self.lost = error
                return
            took = time.perf_counter() - start
            if status == 200:
                right = answer.tolist() == [2 * value for value in values]
                self.outcomes[200 if right else "wrong"] += 1
                self.versions[version] += 1
                self.accepted.append(took)
            else:
                self.outcomes[status] += 1
                self.refusals.append(took)
                assert "error" not in answer and headers.get("Retry-After") == "1"
                time.sleep(0.02)

    def stop(self):
        self.stopped.set()
        self.join()


def metrics(address):
    text = httpx.get(f"http://{address}/metrics").text
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if "{" in line
    }


def resident_bytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def service_ms(running):
    """What a run of the engine took on average, by the server's own count."""
    counted = metrics(running.http)
    label = '{model="double",version="1"}'
    requests = counted["nv_inference_count" + label]
    return counted["nv_inference_compute_infer_duration_us" + label] / requests / 1e3


def overload(running, seconds, clients):
    threads = [Client(running.http, number) for number in range(clients)]
    time.sleep(seconds)
    for thread in threads:
        thread.stop()
    return threads


def check_overload(threads):
    outcomes = sum((thread.outcomes for thread in threads), Counter())
    assert set(outcomes) == {200, 503}, outcomes
    assert [thread.lost for thread in threads if thread.lost] == []
    return outcomes


def test_surplus_is_refused_and_the_rest_answered(tmp_path, write, start_server):
    # One run of 20 ms at a time and 4 places to wait: at most 50 requests a second of about four times that.
    with start_server([write.double(tmp_path / "double")], cost=0.02, max_rows=1, queue_size=4) as running:
        threads = overload(running, 2, clients=12)
        outcomes = check_overload(threads)
        assert outcomes[200] > 20 and outcomes[503] > 20
        connection = http.client.HTTPConnection(running.http, timeout=30)
        assert infer(connection, [1, 2, 3, 4])[0] == 200
        counted = metrics(running.http)
        label = 'model="double",reason="REJECTED",version="1"'
        assert counted[f"nv_inference_request_failure{{{label}}}"] == outcomes[503]
        assert counted['nv_inference_pending_request_count{model="double",version="1"}'] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("max_rows", "clients"), [(1, 16), (4, 32)], ids=["unbatched", "batched"])
def test_four_times_the_capacity_for_twenty_seconds(tmp_path, write, start_server, max_rows, clients):
    queue_size, cost = 8, 0.02
    with start_server(
        [write.double(tmp_path / "double")], cost=cost, max_rows=max_rows, queue_size=queue_size
    ) as running:
        overload(running, 1, clients=4)
        before = resident_bytes(running.process)
        threads = overload(running, 20, clients)
        outcomes = check_overload(threads)
        assert outcomes[503] > outcomes[200]
        refusals = np.concatenate([thread.refusals for thread in threads])
        accepted = np.concatenate([thread.accepted for thread in threads])
        refused, answered = (1e3 * np.percentile(times, 99) for times in (refusals, accepted))
        limit, after = queue_size * service_ms(running), resident_bytes(running.process)
        print(f"\n{outcomes}; refusals p50 {1e3 * np.median(refusals):.1f} ms, p99 {refused:.1f} ms")
        print(f"accepted p99 {answered:.1f} ms; queue limit x service time {limit:.1f} ms")
        print(f"memory {before / 2**20:.0f} -> {after / 2**20:.0f} MiB")
        assert after < before + 32 * 2**20
        connection = http.client.HTTPConnection(running.http, timeout=30)
        assert infer(connection, [1, 2, 3, 4])[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_answers_what_was_accepted(tmp_path, write, start_server, number):
    with start_server([write.double(tmp_path / "double")], cost=0.05, max_rows=2) as running:
        threads = [Client(running.http, number) for number in range(8)]
        until(lambda: sum(sum(thread.outcomes.values()) for thread in threads) > 40, SECONDS)
        running.process.send_signal(number)
        assert running.process.wait(timeout=20) == 0
        for thread in threads:
            thread.join(timeout=20)
        # What was under way was answered; after that the connections are closed and new ones refused. A
        # request that was sent to a connection just closed was not accepted: nothing of it was read.
        outcomes = sum((thread.outcomes for thread in threads), Counter())
        assert set(outcomes) <= {200, 503}
        assert outcomes[200] > 40
        assert all(
            isinstance(thread.lost, (ConnectionError, http.client.RemoteDisconnected)) for thread in threads
        )
        assert running.process.stderr.read() == ""


def test_a_killed_server_starts_again_at_once(tmp_path, write, start_server):
    bundle = write.double(tmp_path / "double")
    with start_server([bundle]) as running:
        port = int(running.http.rpartition(":")[2])
        client = Client(running.http, 1)
        until(lambda: client.outcomes[200] > 5, SECONDS)
        running.process.kill()
        running.process.wait()
        client.stop()
    with start_server([bundle], http_port=port) as again:
        assert infer(http.client.HTTPConnection(again.http, timeout=30), [1, 2, 3, 4])[0] == 200


def test_a_bundle_is_replaced_without_a_failed_request(tmp_path, write, start_server):
    bundle = write.double(tmp_path / "double")
    new = write.double(tmp_path / "new", name="double", version="2")
    with start_server([bundle], cost=0.002, reload_seconds=0.2) as running:
        threads = [Client(running.http, number) for number in range(6)]
        until(lambda: sum(thread.versions["1"] for thread in threads) > 30, SECONDS)
        rename_into_place(new, bundle)
        until(lambda: all(thread.versions["2"] > 5 for thread in threads), SECONDS)
        for thread in threads:
            thread.stop()
        assert sum((thread.outcomes for thread in threads), Counter()).keys() == {200}
        assert [thread.lost for thread in threads if thread.lost] == []
        metadata = httpx.get(f"http://{running.http}/v2/models/double").json()
        assert metadata["versions"] == ["2"]
        assert metrics(running.http)['dashdeploy_model_reloads_total{model="double"}'] == 1


def test_a_corrupt_new_bundle_leaves_the_old_one_serving(tmp_path, write, start_server):
    bundle = write.double(tmp_path / "double")
    corrupt = write.double(tmp_path / "corrupt", name="double", version="2")
    content = bytearray((corrupt / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (corrupt / "model.onnx").write_bytes(content)
    with start_server([bundle], reload_seconds=0.2) as running:
        client = Client(running.http, 1)
        rename_into_place(corrupt, bundle)
        name = 'dashdeploy_model_load_failures_total{model="double"}'
        until(lambda: metrics(running.http)[name] == 1, SECONDS)
        time.sleep(0.5)
        assert metrics(running.http)[name] == 1, "one failure is counted once"
        client.stop()
        assert client.outcomes.keys() == {200}
        assert client.versions.keys() == {"1"}
        (entry,) = httpx.post(f"http://{running.http}/v2/repository/index").json()
        assert (entry["version"], entry["state"]) == ("1", "READY")
        assert "does not match the sha256" in entry["reason"]
        rename_into_place(write.double(tmp_path / "third", name="double", version="3"), bundle)
        until(
            lambda: httpx.get(f"http://{running.http}/v2/models/double/versions/3").status_code == 200,
            SECONDS,
        )
        running.process.terminate()
        logged = [json.loads(line) for line in running.process.stderr.read().splitlines()]
        assert [entry["level"] for entry in logged] == ["error", "info"]
        assert "sha256" in logged[0]["message"] and "version 1 goes on" in logged[0]["message"]


def test_a_broken_engine_is_restarted_and_the_server_lives(tmp_path, write, start_server):
    switch = tmp_path / "broken"
    bundles = [write.double(tmp_path / "double")]
    with start_server(bundles, breaks=str(switch)) as running:
        connection = http.client.HTTPConnection(running.http, timeout=30)
        assert infer(connection, [1, 2, 3, 4])[0] == 200
        switch.touch()
        assert infer(connection, [1, 2, 3, 4])[0] == 500
        ready = f"http://{running.http}/v2/models/double/ready"
        until(lambda: httpx.get(ready).status_code == 503, SECONDS)
        assert httpx.get(f"http://{running.http}/v2/health/live").status_code == 200
        assert httpx.get(f"http://{running.http}/v2/health/ready").status_code == 503
        status, error, _, _ = infer(connection, [1, 2, 3, 4])
        assert (status, "restarted" in error) == (503, True)
        switch.unlink()
        until(lambda: httpx.get(ready).status_code == 200, SECONDS)
        assert infer(connection, [1, 2, 3, 4])[0] == 200


def test_a_client_that_hangs_up_leaves_the_queue(tmp_path, write, start_server, gate):
    with start_server([write.double(tmp_path / "double")], holds=str(gate.path), max_rows=1) as running:
        gate.hold()
        body = json.dumps(
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
        )
        connections = [http.client.HTTPConnection(running.http, timeout=30) for _ in range(4)]
        for connection in connections:
            connection.request("POST", "/v2/models/double/infer", body)
            until(gate.holds_a_call, SECONDS)
        until_waiting(running, "double", 3, SECONDS)
        for connection in connections[1:3]:
            connection.close()
        until_waiting(running, "double", 1, SECONDS)
        gate.release()
        for connection in (connections[0], connections[3]):
            assert connection.getresponse().status == 200
        counted = metrics(running.http)
        assert counted['nv_inference_request_failure{model="double",reason="CANCELED",version="1"}'] == 2
        assert counted['nv_inference_exec_count{model="double",version="1"}'] == 2


def test_a_signal_lets_grpc_calls_end(tmp_path, write, start_server):
    with (
        start_server([write.double(tmp_path / "double")], cost=0.5, max_rows=1) as running,
        triton_grpc.InferenceServerClient(running.grpc) as client,
    ):
        x = triton_grpc.InferInput("x", [1, 4], "FP32").set_data_from_numpy(np.ones((1, 4), np.float32))
        answers = queue.Queue()
        for _ in range(3):
            client.async_infer("double", [x], lambda result, error: answers.put((result, error)))
        until_waiting(running, "double", 2, SECONDS)
        running.process.terminate()
        for _ in range(3):
            result, error = answers.get(timeout=20)
            assert error is None
            assert (result.as_numpy("y") == 2).all()
        assert running.process.wait(timeout=20) == 0
