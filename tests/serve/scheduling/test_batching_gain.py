"""What batching gains over HTTP where every call of the engine has a fixed cost."""

import json
import subprocess
import sys

import numpy as np
import pytest

from dashdeploy.bench.serve.http_load import http_request


@pytest.mark.slow
def test_batching_multiplies_the_throughput_of_a_fixed_cost(tmp_path, write, start_server):
    """Prints what was measured; speed is not asserted beyond that batching gains."""
    bundle = write.double(tmp_path / "double")
    rates = {}
    for name, options in {"alone": {"max_rows": 1}, "batched": {"max_rows": 32}}.items():
        with start_server([bundle], cost=0.003, **options) as running:
            command = [sys.executable, "-m", "dashdeploy.bench.serve.http_load", running.http, "32", "5"]
            done = subprocess.run(command, input=binary_request(), capture_output=True, check=True)
            rates[name] = json.loads(done.stdout)["per_second"]
    print(f"\n{rates}: {rates['batched'] / rates['alone']:.1f} times")
    assert rates["batched"] > rates["alone"]


def binary_request():
    x = np.ones((1, 4), np.float32).tobytes()
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": len(x)}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    return http_request("127.0.0.1", "/v2/models/double/infer", header + x, length)
