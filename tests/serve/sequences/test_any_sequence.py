"""Any requests of sequences, valid or not, in any order, by any protocol: as a dictionary says, and never 5xx."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

relaxed = {"deadline": None, "suppress_health_check": list(HealthCheck)}

requests = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["json", "binary", "grpc"]),
            "sequence_id": st.sampled_from([1, 2, "1", "b", 0, "", None]),
            "sequence_start": st.sampled_from([False, False, True, None]),
            "sequence_end": st.sampled_from([False, False, False, True]),
            "rows": st.sampled_from([1, 1, 1, 2]),
            "value": st.integers(-100, 100),
            "mistake": st.sampled_from([None] * 8 + ["shape", "state", "name"]),
        }
    ),
    max_size=25,
)


class Expected:
    """What the server is to answer, by the rules of docs/serving.md."""

    def __init__(self):
        self.totals = {}

    def answer(self, asked):
        """The total, or None if the request is refused."""
        sequence, start = asked["sequence_id"], bool(asked["sequence_start"])
        if sequence in (0, "", None):
            # Without a sequence, the state is the client's to send: "state" is not a mistake then.
            if start or asked["sequence_end"] or asked["mistake"] != "state":
                return None
            return asked["value"] + np.zeros((asked["rows"], 2))
        if asked["mistake"] or (not start and sequence not in self.totals):
            return None
        total = np.zeros((asked["rows"], 2)) if start else self.totals[sequence]
        if len(total) != asked["rows"]:
            return None
        total = total + asked["value"]
        self.totals[sequence] = total
        if asked["sequence_end"]:
            del self.totals[sequence]
        return total


def ask(clients, asked):
    shape = (asked["rows"], 3 if asked["mistake"] == "shape" else 2)
    feeds = {"z" if asked["mistake"] == "name" else "x": np.full(shape, asked["value"], np.float32)}
    if asked["mistake"] == "state":
        feeds["total"] = np.zeros(shape, np.float32)
    options = {name: asked[name] for name in ("sequence_id", "sequence_start", "sequence_end")}
    if asked["kind"] != "json":  # tritonclient leaves out the flags of what it takes for no sequence
        options = {name: value or False for name, value in options.items() if name != "sequence_id"}
        options["sequence_id"] = asked["sequence_id"] or 0
        if not options["sequence_id"]:
            options["sequence_start"] = options["sequence_end"] = False
            asked["sequence_start"] = asked["sequence_end"] = False
    return clients[asked["kind"]].ask("sum", feeds, **options)[0]["y"]


def check(clients, models, asked_requests, fresh):
    expected = Expected()
    for asked in asked_requests:
        if asked["sequence_id"] not in (0, "", None):
            asked["sequence_id"] = (
                f"{fresh} {asked['sequence_id']}"
                if isinstance(asked["sequence_id"], str)
                else fresh * 10 + asked["sequence_id"]
            )
        try:
            found = ask(clients, asked)
        except models.RefusedError as error:
            assert error.status == 400, error
            assert expected.answer(asked) is None, error
            continue
        right = expected.answer(asked)
        assert right is not None, asked
        np.testing.assert_array_equal(found, right)
    for sequence, total in expected.totals.items():
        zeros = {"x": np.zeros(total.shape, np.float32)}
        found, _ = clients["json"].ask("sum", zeros, sequence_id=sequence, sequence_end=True)
        np.testing.assert_array_equal(found["y"], total)


@pytest.fixture(scope="module")
def clients(running, models):
    clients = {kind: make(running) for kind, make in models.clients.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def numbers():
    """Numbers for ids that no test used yet."""
    return iter(range(1000, 10**9))


@settings(max_examples=60, **relaxed)
@given(asked=requests)
def test_any_sequence(clients, models, numbers, asked):
    check(clients, models, asked, next(numbers))


@pytest.mark.slow
def test_any_sequence_for_two_minutes(clients, models, numbers):
    end = time.monotonic() + 120

    @settings(max_examples=500, database=None, **relaxed)
    @given(asked=requests)
    def some(asked):
        check(clients, models, asked, next(numbers))

    while time.monotonic() < end:
        some()
