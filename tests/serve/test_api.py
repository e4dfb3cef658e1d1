"""The Python function: its settings, and a server that it runs."""

import http.client
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import EngineName
from dashdeploy.serve import api
from dashdeploy.serve.settings import BatchPolicy, ServeSettings


@pytest.fixture
def called(monkeypatch):
    """What the function hands to the server."""
    calls = []
    monkeypatch.setattr(api, "run_server", lambda bundles, settings: calls.append((bundles, settings)))
    return calls


def test_without_settings_the_defaults_are_used(called):
    api.serve("one", Path("two"))
    assert called == [([Path("one"), Path("two")], ServeSettings())]


def test_fields_replace_those_of_the_settings(called):
    batching = BatchPolicy(max_rows=4)
    api.serve("one", settings=ServeSettings(http_port=1, grpc_port=2), grpc_port=3, batching=batching)
    assert called == [([Path("one")], ServeSettings(http_port=1, grpc_port=3, batching=batching))]


def test_convenient_values_become_those_of_the_settings(called):
    api.serve("one", engine="openvino", api_keys=["a", "b"], tls_certificate="c", tls_key="k", access_log="-")
    ((_, settings),) = called
    assert settings == ServeSettings(
        engine=EngineName.OPENVINO,
        api_keys=frozenset({"a", "b"}),
        tls_certificate=Path("c"),
        tls_key=Path("k"),
        access_log=Path("-"),
    )
    assert isinstance(settings.engine, EngineName)
    api.serve("one", engine=None, tls_key=None)
    assert called[1][1] == ServeSettings()


def test_wrong_fields_are_refused(called):
    with pytest.raises(InputError, match="`engine=cuda`: no such engine; choose from ort-cpu"):
        api.serve("one", engine="cuda")
    with pytest.raises(InputError, match="`api_keys`"):
        api.serve("one", api_keys="secret")
    with pytest.raises(TypeError, match="prot"):
        api.serve("one", prot=8000)
    assert not called


def test_it_serves_until_a_signal(double_bundle):
    code = (
        "import sys\nfrom dashdeploy.serve.api import serve\nserve(sys.argv[1], http_port=0, grpc_port=0)\n"
    )
    command = [sys.executable, "-c", code, str(double_bundle)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            address = re.search(r"http://([^\s]+)", line)
            assert address, line + process.stderr.read()
            connection = http.client.HTTPConnection(address.group(1), timeout=30)
            connection.request("GET", "/v2/models/double")
            assert json.loads(connection.getresponse().read())["name"] == "double"
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
