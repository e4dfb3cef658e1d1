"""The conformance table against dashdeploy and Triton at once, field by field, by all four of tritonclient's clients.

Every difference is one of those that are listed here and, with the reason, in docs/serving.md; a listed one that is
no longer found fails as well.
"""

import http.client
import json
import re

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.slow

KINDS = ("http", "http.aio", "grpc", "grpc.aio")

TEXTS = {
    "unknown model": r"unknown model|requested model.* is not available",
    "version": r"model version|Not Found",
    "unknown input": r"unexpected inference input",
    "unknown output": r"unexpected inference output",
    "missing input": r"expected \d inputs but got \d inputs",
    "input twice": r"already exists in request",
    "shape": r"unexpected shape for input|invalid shape for input",
    "size": r"size mismatch for input|unexpected size for input",
    "datatype": r"data-?type",
    "control": r"explicit model load / unload is not allowed",
    "engine": r"ONNXRuntimeError",
    "no start": r"must specify the START flag",
    "no id": r"must specify a non-zero or non-empty correlation ID",
    "parsing": r"[Uu]nable to parse|not a positive integer",
}
"""The kinds of error texts, by what both servers' texts have in common; the first that fits counts."""


def kind_of(text):
    return next((kind for kind, pattern in TEXTS.items() if re.search(pattern, text)), text)


@pytest.fixture(params=KINDS)
def pair(request, ours, triton, conformance):
    """A client of dashdeploy, and one of Triton."""
    protocol = request.param.partition(".")[0]
    clients = [conformance.Client(request.param, getattr(server, protocol)) for server in (ours, triton)]
    yield clients
    for client in clients:
        client.close()


def outcomes(pair, call):
    """What both clients get: a value, or the status and the kind of the error."""
    found = []
    for client in pair:
        try:
            found.append(call(client))
        except InferenceServerException as error:
            found.append({"status": error.status(), "kind": kind_of(error.message())})
    return found


def flat(value, path=""):
    """The leaves of nested values by their paths; what is empty or a default is as if it were not there."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        pairs = ((each.get("name", number), each) for number, each in enumerate(value))
    elif value in ("", 0, "0", False, None, [], {}):
        return {}
    else:
        # JSON has some of its numbers of 64 bits as text.
        return {path: [str(each) for each in value] if isinstance(value, list) else str(value)}
    return {key: leaf for name, each in pairs for key, leaf in flat(each, f"{path}.{name}").items()}


def differing(found):
    ours, theirs = map(flat, found)
    return {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}


def test_health_and_readiness(pair):
    for method in ("is_server_live", "is_server_ready"):
        ours, theirs = outcomes(pair, lambda client, method=method: client.call(method))
        assert ours == theirs is True
    for words in (("double",), ("double", "1"), ("double", "7"), ("nobody",), ("nobody", "1")):
        ours, theirs = outcomes(pair, lambda client, words=words: client.call("is_model_ready", *words))
        assert ours == theirs == (words in (("double",), ("double", "1")))
    ours, theirs = outcomes(pair, lambda client: client.call("is_model_ready", "double", "x"))
    if not pair[0].is_http:
        assert ours["status"] == theirs["status"] == "StatusCode.INVALID_ARGUMENT"
    else:
        assert ours == theirs is False


def test_metadata(pair, conformance):
    for model in ("double", "divide", "identity", "text", "gather"):
        found = outcomes(
            pair, lambda client, model=model: conformance.plain(client.call("get_model_metadata", model))
        )
        assert differing(found) == {".platform"}  # the engines differ
    ours, theirs = outcomes(pair, lambda client: conformance.plain(client.call("get_model_metadata", "sum")))
    # Here a client may give a state itself; in Triton it is not an input.
    assert differing([ours, theirs]) == {
        ".platform",
        *(f".inputs.total.{field}" for field in ("name", "datatype", "shape")),
        *(f".outputs.next_total.{field}" for field in ("name", "datatype", "shape")),
    }
    ours, theirs = outcomes(pair, lambda client: conformance.plain(client.call("get_server_metadata")))
    assert set(ours["extensions"]) < set(theirs["extensions"])


OF_THE_ENGINE = {"backend", "platform", "default_model_filename", "optimization"}
OF_THE_SETTINGS = {"version_policy", "preferred_batch_size", "parameters", "model_warmup", "label_filename"}


@pytest.mark.parametrize("model", ["double", "divide", "identity", "text", "gather", "sum"])
def test_config(pair, conformance, model):
    ours, theirs = outcomes(pair, lambda client: conformance.plain(client.call("get_model_config", model)))
    found = differing([ours.get("config", ours), theirs.get("config", theirs)])
    found = {path for path in found if not (OF_THE_ENGINE | OF_THE_SETTINGS) & set(path.split("."))}
    if model == "sum":
        states = {path for path in found if re.match(r"\.(input\.total|output\.next_total)\.", path)}
        assert {path.rsplit(".", 1)[1] for path in states} == {
            *("name", "data_type", "dims", "optional"),
            *(() if pair[0].is_http else ("format",)),
        }
        found -= states
        # JSON writes names of defaults; a message has them only as numbers.
    if pair[0].is_http:
        found = {path for path in found if not path.endswith((".format", ".timeout_action"))}
    else:
        found = {path for path in found if not path.endswith(".runtime")}
    if model in ("divide", "gather"):
        # Tensors with a batch axis alone, which dashdeploy batches, and Triton's configuration cannot say.
        assert {path for path in found if "dynamic_batching" not in path} == {
            ".max_batch_size",
            *dims_of(found),
        }
    else:
        assert found == set()


def dims_of(paths):
    return {path for path in paths if path.endswith(".dims")}


def test_index_and_control(pair, conformance):
    def index(client):
        answer = conformance.plain(client.call("get_model_repository_index"))
        return answer if isinstance(answer, list) else answer["models"]

    assert differing(outcomes(pair, index)) == set()
    for method in ("load_model", "unload_model"):
        ours, theirs = outcomes(pair, lambda client, method=method: client.call(method, "double"))
        assert ours == theirs
        assert ours["kind"] == "control"


NOWHERE = [("nobody", ""), ("nobody", "1"), ("double", "7"), ("double", "x")]


@pytest.mark.parametrize("method", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
@pytest.mark.parametrize(("model", "version"), NOWHERE)
def test_models_and_versions_that_are_not_there(pair, method, model, version):
    ours, theirs = outcomes(pair, lambda client: client.call(method, model, version))
    if pair[0].is_http and version == "x":  # such a path is none of Triton's
        assert (ours["status"], theirs["status"]) == ("400", "404")
    else:
        assert ours["status"] == theirs["status"]
    if version in ("", "1") or ours["status"] in ("404", "StatusCode.NOT_FOUND"):
        assert ours["kind"] == "unknown model"
        assert theirs["kind"] == "unknown model"


LISTED = {
    # name: dashdeploy over HTTP and gRPC, Triton over HTTP and gRPC
    "version no number": ("400", "INVALID_ARGUMENT", "404", "INVALID_ARGUMENT"),
    "negative dimension": ("400", "INVALID_ARGUMENT", "500", "INVALID_ARGUMENT"),
    "a value that the model cannot take": ("400", "INVALID_ARGUMENT", "500", "INTERNAL"),
}
OTHER_KIND = {"batch of zero", "negative dimension", "version no number"}
UNLIMITED = {"too large a tensor"}
"""Triton has no limit of a tensor's size."""


def test_the_table_of_errors(pair, conformance):
    found, kinds = {}, set()
    for name, (model, arrays, options, _, _) in conformance.ERRORS.items():
        if name in UNLIMITED:
            continue

        def call(client, model=model, arrays=arrays, options=options):
            return client.infer(model, arrays, **(options(client) if callable(options) else options))

        ours, theirs = outcomes(pair, call)
        if ours["status"] != theirs["status"]:
            found[name] = (ours["status"], theirs["status"])
        if ours["kind"] != theirs["kind"]:
            kinds.add(name)
    http = pair[0].is_http
    listed = {
        name: (row[0], row[2]) if http else (f"StatusCode.{row[1]}", f"StatusCode.{row[3]}")
        for name, row in LISTED.items()
        if http or row[1] != row[3]
    }
    assert found == listed
    assert kinds <= OTHER_KIND, kinds


def test_results(pair, conformance):
    """Values, classes and the fields of responses are the same to the bit."""
    arrays = {
        "double": {"x": np.array([[0, 1, 3, 2], [np.nan, np.inf, -np.inf, 1e-40]], np.float32)},
        "divide": {"a": np.array([1, 0, -1, 9], np.float32), "b": np.array([0, 0, 0, 3], np.float32)},
        "gather": {"index": np.array([0, -1, 2, 2])},
        "text": {"words": np.array([["", "a", "größer"], ["\x00", "b c", "d"]], object)},
        "identity": {
            f"in_{name}": np.array([[0, 1, 1], [1, 1, 0]], name)
            for name in conformance.DATATYPE_BY_NUMPY_NAME
            if name != "object"
        },
    }
    for model, feeds in arrays.items():

        def call(client, model=model, feeds=feeds):
            answer = client.infer(model, feeds, request_id=f"of {model}")
            response = conformance.plain(answer.get_response())
            outputs = [output["name"] for output in response["outputs"]]
            response.pop("raw_output_contents", None)
            return json.dumps(response, sort_keys=True), [
                (name, answer.as_numpy(name).dtype, answer.as_numpy(name).tobytes()) for name in outputs
            ]

        ours, theirs = outcomes(pair, call)
        if model == "text":  # pointers to objects
            ours, theirs = ours[0], theirs[0]
        assert repr(ours) == repr(theirs)
    for classes in (1, 2, 4, 9):

        def classify(client, classes=classes):
            outputs = [client.module.InferRequestedOutput("y", class_count=classes)]
            feeds = {"x": np.array([[0, 1, 3, 2], [5, 5, -1, 0]], np.float32)}
            return client.infer("double", feeds, outputs=outputs).as_numpy("y").tolist()

        ours, theirs = outcomes(pair, classify)
        assert ours == theirs


def test_statistics_count_alike(pair, conformance):
    def counts(client):
        answer = conformance.plain(client.call("get_inference_statistics", "double", "1"))
        (statistics,) = answer["model_stats"]
        counted = {name: int(each["count"]) for name, each in statistics["inference_stats"].items()}
        batches = {
            int(each["batch_size"]): int(each["compute_infer"]["count"]) for each in statistics["batch_stats"]
        }
        totals = {name: int(statistics[name]) for name in ("inference_count", "execution_count")}
        return counted | totals | {f"batch of {rows}": batches.get(rows, 0) for rows in (1, 2, 3)}

    def difference(client):
        before = counts(client)
        for rows in (1, 3, 3):
            client.infer("double", {"x": np.zeros((rows, 4), np.float32)})
        for model, feeds in (("double", {"x": np.zeros((1, 5), np.float32)}), ("double", {})):
            with pytest.raises(InferenceServerException):
                client.infer(model, feeds)
        after = counts(client)
        return {name: after[name] - before[name] for name in after}

    ours, theirs = outcomes(pair, difference)
    assert ours == theirs
    assert (ours["inference_count"], ours["execution_count"], ours["success"], ours["fail"]) == (7, 3, 3, 0)


STEPS = [
    {},
    {"sequence_id": 0},
    {"sequence_id": 5},
    {"sequence_id": 5, "sequence_start": True},
    {"sequence_id": 5},
    {"sequence_id": "5"},
    {"sequence_id": "5", "sequence_start": True},
    {"sequence_id": 5},
    {"sequence_id": "5"},
    {"sequence_id": 5, "sequence_start": True},
    {"sequence_id": 5, "sequence_end": True},
    {"sequence_id": 5},
    {"sequence_id": 5, "sequence_end": True},
    {"sequence_id": 6, "sequence_start": True, "sequence_end": True},
    {"sequence_id": 6},
    {"sequence_id": "5", "sequence_end": True},
    {"sequence_id": "5"},
]


def test_sequences(pair):
    """The numbers and the refusals are the same; Triton's configuration is the one that export wrote."""

    def steps(client):
        found = []
        for number, options in enumerate(STEPS):
            x = {"x": np.full((1, 2), number + 1, np.float32)}
            try:
                answer = client.infer("sum", x, **options)
                names = [name for name in ("y", "next_total", "total") if answer.as_numpy(name) is not None]
                found.append((names, answer.as_numpy("y").tolist()))
            except InferenceServerException as error:
                found.append((error.status(), kind_of(error.message())))
        return found

    ours, theirs = outcomes(pair, steps)
    # Without a sequence the states are the client's here, so that one is missing; Triton wants an id.
    assert {found[0][1] for found in (ours, theirs)} == {"missing input", "no id"}
    assert ours[2:] == theirs[2:]
    assert sum(kind == "no start" for _, kind in ours) == 6


def test_a_model_without_states_takes_no_sequences_here(pair):
    """Triton ignores what the client says of them, so that it gets answers without a memory."""
    x = {"x": np.ones((1, 4), np.float32)}
    ours, theirs = outcomes(
        pair,
        lambda client: client.infer("double", x, sequence_id=3, sequence_start=True).as_numpy("y").tolist(),
    )
    assert theirs == [[2, 2, 2, 2]]
    assert "keeps no state" in ours["kind"]


DIFFERENT_BODIES = {
    # name: status of dashdeploy, status of Triton
    "values beside arrays": (400, 200),
    "parameters not an object": (400, 200),
    "classification into no classes": (400, 200),
}
"""What Triton overlooks in JSON."""


def send(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_malformed_requests(ours, triton, refusals):
    """Both refuse them; where Triton cannot parse one it says 500, and dashdeploy 400 as for any client's mistake."""
    requests = {name: (body, {}) for name, body in refusals.REFUSED_JSON.items()}
    for name, (content, tensor, length) in refusals.REFUSED_BINARY.items():
        body, right = refusals.binary_body(content, tensor)
        requests[f"binary: {name}"] = (body, {"Inference-Header-Content-Length": str(length or right)})
    found, unparsed = {}, set()
    for name, (content, headers) in requests.items():
        body = content if isinstance(content, bytes) else json.dumps(content)
        (status, _, _), (theirs, _, answer) = (
            send(server.http, "POST", refusals.INFER, body, headers) for server in (ours, triton)
        )
        if (status, theirs) == (400, 500):
            unparsed.add(name)
            assert re.search(r"pars|attempt to access|Unable", answer.decode()), answer
        elif status != theirs:
            found[name] = (status, theirs)
    assert found == DIFFERENT_BODIES
    assert len(unparsed) > 20


@pytest.mark.parametrize(
    ("parameters", "status", "theirs"),
    [
        ({"priority": 1}, 200, 200),
        ({"timeout": 5_000_000, "of my own": "text", "more": 7, "flag": True}, 200, 200),
        ({"of my own": [1]}, 400, 400),
        ({"of my own": {}}, 400, 400),
        ({"of my own": 1.5}, 200, 200),
        ({"of my own": None}, 200, 400),  # null is like absent, everywhere
        ({"sequence_id": [1]}, 400, 500),
        ({"sequence_start": "true", "sequence_id": 1}, 400, 500),
    ],
)
def test_parameters(ours, triton, refusals, parameters, status, theirs):
    body = json.dumps({"inputs": [refusals.INPUT], "parameters": parameters})
    found = [send(server.http, "POST", refusals.INFER, body)[0] for server in (ours, triton)]
    assert found == [status, theirs]


def test_headers_and_bodies(ours, triton, refusals):
    """Content types and lengths of answers, and where the bodies differ."""
    for path in ("/v2", "/v2/models/double", "/v2/models/double/config", "/v2/models/stats"):
        for server in (ours, triton):
            status, headers, _ = send(server.http, "GET", path)
            assert (status, headers["Content-Type"]) == (200, "application/json")
    # Triton's answers to health checks are empty.
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/double/ready"):
        (status, _, body), (theirs, _, empty) = (send(server.http, "GET", path) for server in (ours, triton))
        assert (status, theirs, empty) == (200, 200, b"")
        assert json.loads(body)
    for binary in (False, True):
        content = {"inputs": [refusals.INPUT], "parameters": {"binary_data_output": binary}, "id": "7"}
        answers = [
            send(server.http, "POST", refusals.INFER, json.dumps(content)) for server in (ours, triton)
        ]
        length = [headers.get("Inference-Header-Content-Length") for _, headers, _ in answers]
        kinds = [headers["Content-Type"] for _, headers, _ in answers]
        assert kinds[0] == kinds[1]
        assert (length[0] is None) == (length[1] is None) == (not binary)
        end = len(answers[0][2]) if length[0] is None else int(length[0])
        assert json.loads(answers[0][2][:end]) == json.loads(
            answers[1][2][: int(length[1] or len(answers[1][2]))]
        )
        assert answers[0][2][end:] == answers[1][2][int(length[1] or len(answers[1][2])) :]
    for method, path, code in (
        ("GET", refusals.INFER, 405),
        ("DELETE", "/v2/models/double", 405),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/", 404),
    ):
        for server in (ours, triton):
            status, _, body = send(server.http, method, path)
            assert (status, list(json.loads(body or '{"error": ""}'))) == (code, ["error"])
