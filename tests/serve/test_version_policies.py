"""Which versions are served, from the command line's words to a roll-back by tritonclient while requests come."""

import json
from threading import Event, Thread

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from dashdeploy.cli.options.values import version_policy
from dashdeploy.errors import InputError
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.version_policies import as_config, from_config
from dashdeploy.serve.settings import VersionPolicy

ONE, TWO = ({"version_policy": {"specific": {"versions": versions}}} for versions in ([1], [2]))


@pytest.fixture
def three(tmp_path, write):
    """Versions 1, 2 and 3 of the model `times`, whose output is the input times the version."""
    for version in ("1", "2", "3"):
        write.bundle(
            tmp_path / "all" / version,
            [helper.make_node("Mul", ["x", "factor"], ["y"])],
            [("x", TensorProto.FLOAT, ["n", 2])],
            [("y", TensorProto.FLOAT, ["n", 2])],
            [helper.make_tensor("factor", TensorProto.FLOAT, [], [float(version)])],
            name="times",
            version=version,
        )
    return tmp_path / "all"


def answer(client, module=triton, **more):
    """The version that answered, which the output must confirm."""
    tensor = module.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
    result = client.infer("times", [tensor], **more)
    response = result.get_response()
    version = response["model_version"] if module is triton else response.model_version
    assert result.as_numpy("y").tolist() == [[float(version)] * 2]
    return version


@pytest.mark.parametrize(
    "policies, served",
    [
        ({}, ["3", "2", "1"]),
        ({"": {"latest": 1}}, ["3"]),
        ({"": {"specific": [1, 2, 9]}}, ["2", "1"]),
        ({"": {"latest": 1}, "times": {"specific": [1]}}, ["1"]),
    ],
)
def test_what_is_served(three, write, start_server, policies, served):
    write.double(three / "double")
    with start_server([three], version_policies=policies) as running:
        url = f"http://{running.http}/v2/models"
        assert httpx.get(f"{url}/times").json()["versions"] == served
        assert httpx.get(f"{url}/double/ready").status_code == 200
        with triton.InferenceServerClient(running.http) as client:
            assert answer(client) == served[0]
            states = {
                each["version"]: each
                for each in client.get_model_repository_index()
                if each["name"] == "times"
            }
        assert [version for version in "321" if states[version]["state"] == "READY"] == served
        for version in set("123") - set(served):
            assert states[version]["reason"] == "not served"
            assert httpx.get(f"{url}/times/versions/{version}").status_code == 404


@pytest.mark.parametrize(
    "policies, message",
    [
        ({"times": {"specific": [7]}}, "model 'times' has no version 7; it has 1, 2, 3"),
        ({"time": {"latest": 1}}, "model 'time' is unknown; use one of times"),
    ],
)
def test_a_policy_that_serves_nothing_is_refused(three, start_server, policies, message):
    with pytest.raises(AssertionError, match=message), start_server([three], version_policies=policies):
        pass


def test_a_roll_back_drops_no_request_and_is_counted_by_version(three, start_server):
    with (
        start_server([three], version_policies={"": {"latest": 1}}, allow_model_control=True) as running,
        triton.InferenceServerClient(running.http) as client,
        triton_grpc.InferenceServerClient(running.grpc) as grpc_client,
    ):
        seen, faults, stop = [], [], Event()

        def ask():
            with triton.InferenceServerClient(running.http) as own:
                while not stop.is_set():
                    try:
                        seen.append(answer(own))
                    except Exception as error:
                        faults.append(error)

        thread = Thread(target=ask)
        thread.start()
        assert answer(client) == "3"
        client.load_model("times", config=json.dumps(ONE))
        assert answer(client) == "1"
        assert client.get_model_config("times")["version_policy"] == ONE["version_policy"] | {
            "specific": {"versions": [1]}
        }
        assert not client.is_model_ready("times", "3")
        grpc_client.load_model("times", config=json.dumps(TWO))
        assert answer(grpc_client, triton_grpc) == "2"
        config = grpc_client.get_model_config("times").config
        assert list(config.version_policy.specific.versions) == [2]
        client.load_model("times")  # without a configuration, as the server was started
        assert answer(client) == "3"
        stop.set()
        thread.join()
        assert not faults
        assert list(dict.fromkeys(seen)) == ["3", "1", "2"][: len(dict.fromkeys(seen))]
        client.load_model("times", config='{"version_policy": {"all": {}}}')
        metrics = httpx.get(f"http://{running.http}/metrics").text
        for version, count in (
            ("1", seen.count("1") + 1),
            ("2", seen.count("2") + 1),
            ("3", seen.count("3") + 2),
        ):
            assert f'nv_inference_request_success{{model="times",version="{version}"}} {count:.1f}' in metrics


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"config": "{"}, "not JSON"),
        ({"config": {"version_policy": {"all": {}}}}, "not JSON"),
        ({"config": '{"max_batch_size": 8}'}, "may set 'version_policy' alone"),
        ({"config": '{"version_policy": {"specific": {"versions": [8]}}}'}, "selects none of 1, 2, 3"),
        ({"config": '{"version_policy": {"latest": {"num_versions": 0}}}'}, "may set 'version_policy' alone"),
        ({"file:1/model.onnx": "AAAA"}, "'file:1/model.onnx' is not supported"),
    ],
)
def test_a_load_that_is_refused_changes_nothing(three, start_server, parameters, message):
    with start_server([three], allow_model_control=True) as running:
        url = f"http://{running.http}/v2"
        refused = httpx.post(f"{url}/repository/models/times/load", json={"parameters": parameters})
        assert refused.status_code == 400
        assert message in refused.json()["error"]
        assert httpx.get(f"{url}/models/times").json()["versions"] == ["3", "2", "1"]


def test_a_policy_over_grpc_that_is_refused(three, start_server):
    with (
        start_server([three], allow_model_control=True) as running,
        triton_grpc.InferenceServerClient(running.grpc) as client,
    ):
        with pytest.raises(InferenceServerException, match="selects none") as error:
            client.load_model("times", config='{"version_policy": {"specific": {"versions": ["9"]}}}')
        assert error.value.status() == "StatusCode.INVALID_ARGUMENT"


policies = st.builds(VersionPolicy, latest=st.none() | st.integers(1, 9)) | st.builds(
    VersionPolicy, specific=st.sets(st.integers(1, 9), min_size=1).map(lambda found: tuple(sorted(found)))
)


@given(policies, st.sets(st.integers(1, 9)))
def test_a_policy_says_the_same_everywhere(policy, versions):
    if policy.specific:
        text, chosen = "specific:" + ",".join(map(str, policy.specific)), versions & set(policy.specific)
    elif policy.latest:
        text, chosen = (
            f"latest:{policy.latest}",
            {v for v in versions if sum(w > v for w in versions) < policy.latest},
        )
    else:
        text, chosen = "all", versions
    assert policy.select(list(versions)) == chosen
    assert version_policy("--version-policy", f"a=b={text}") == ("a=b", policy)
    assert version_policy("--version-policy", text) == ("", policy)
    assert from_config(json.dumps({"version_policy": as_config(policy)}), "m") == policy


@pytest.mark.parametrize(
    "text",
    ["", "latest", "latest:", "latest:0", "latest:1,2", "specific:", "specific:1,1", "all:1", "m=2", "m"],
)
def test_words_that_are_no_policy(text):
    with pytest.raises(InputError, match="--version-policy"):
        version_policy("--version-policy", text)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["version_policy", "latest", "specific", "versions", "num_versions", "all"]),
                inner,
                max_size=2,
            )
        ),
        max_leaves=6,
    )
)
def test_any_configuration_is_a_policy_or_refused(content):
    try:
        assert isinstance(from_config(json.dumps(content), "m"), VersionPolicy)
    except RequestError as error:
        assert error.status == 400
