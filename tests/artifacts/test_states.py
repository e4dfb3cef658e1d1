"""Which inputs and outputs are a state and its next value: what names and shapes tell, and what cannot be."""

import json

import pytest
from pydantic import ValidationError

from dashdeploy.artifacts.bundle import Manifest
from dashdeploy.artifacts.states import states_problem, suggested_states
from dashdeploy.artifacts.tensor_spec import TensorSpec

STATE = (1, "b", 4)


def specs(**shapes):
    return [
        TensorSpec(name=name.replace("__", "."), shape=shape, dtype="float32")
        for name, shape in shapes.items()
    ]


MODELS = {
    "torch, GRU": (specs(x=("b", 8), h0=STATE), specs(y=("b", 2), hn=STATE), {"h0": "hn"}),
    "torch, LSTM": (
        specs(x=("b", 8), h0=STATE, c0=STATE),
        specs(y=("b", 2), hn=STATE, cn=STATE),
        {"h0": "hn", "c0": "cn"},
    ),
    "silero-vad": (
        specs(input=("n", "k"), state=(2, "m", 128), sr=()),
        specs(output=("n", 1), stateN=("p", "q", "r")),
        {"state": "stateN"},
    ),
    "transformer": (
        specs(ids=("b", "n"), past_key_values__0__key=STATE, past_key_values__1__key=STATE),
        specs(logits=("b", "n", 9), present_key_values__0__key=STATE, present_key_values__1__key=STATE),
        {f"past_key_values.{i}.key": f"present_key_values.{i}.key" for i in (0, 1)},
    ),
    "in and out": (
        specs(audio=("b", 8), hidden_in=STATE, cell_in=STATE),
        specs(mask=("b", 8), hidden_out=STATE, cell_out=STATE),
        {"hidden_in": "hidden_out", "cell_in": "cell_out"},
    ),
    "no state: other names": (specs(x=("b", 8), mask=("b", 8)), specs(y=("b", 8)), {}),
    "no state: other shapes": (specs(x=("b", 8), h0=(1, "b", 4)), specs(y=("b", 2), hn=(1, "b", 5)), {}),
    "no state: one of two": (specs(x=("b", 8), a1=STATE, a2=STATE), specs(y=("b", 2), a3=STATE), {}),
    "no state: nothing else": (specs(h_in=STATE), specs(h_out=STATE), {}),
    "no state: words alone": (specs(input=STATE, k=("b",)), specs(output=STATE), {}),
}


@pytest.mark.parametrize("inputs, outputs, found", MODELS.values(), ids=MODELS)
def test_what_names_and_shapes_tell(inputs, outputs, found):
    assert suggested_states(inputs, outputs) == found
    assert suggested_states(list(reversed(inputs)), list(reversed(outputs))) == found
    assert states_problem(found, inputs, outputs) is None


INPUTS = [*specs(x=("b", 8), h0=STATE, c0=STATE), TensorSpec(name="t", shape=(1,), dtype="object")]
OUTPUTS = [
    *specs(y=("b", 2), hn=STATE, cn=STATE),
    TensorSpec(name="i", shape=STATE, dtype="int32"),
    TensorSpec(name="tn", shape=(1,), dtype="object"),
]


@pytest.mark.parametrize(
    "states, problem",
    [
        ({"h": "hn"}, "the model has no input 'h'; it has x, h0, c0, t"),
        ({"h0": "h"}, "the model has no output 'h'; it has y, hn, cn, i, tn"),
        (
            {"h0": "y"},
            r"the output 'y' \(float32 b x 2\) is not a next value of the input 'h0' \(float32 1 x b x 4\)",
        ),
        ({"h0": "i"}, "is not a next value"),
        ({"t": "tn"}, "text"),
        ({"h0": "hn", "c0": "hn"}, "two inputs have one output"),
    ],
)
def test_what_is_no_pair(states, problem):
    with pytest.raises(ValidationError, match=problem):
        manifest(states)


def manifest(states):
    return Manifest(
        name="m",
        inputs=INPUTS,
        outputs=OUTPUTS,
        states=states,
        target="ort-cpu",
        precision="fp32",
        source="m.onnx",
        tools={},
        files={},
    )


def test_every_input_a_state_leaves_none_for_a_request():
    assert "every input" in states_problem({"h_in": "h_out"}, specs(h_in=STATE), specs(h_out=STATE))


def test_a_manifest_has_states_where_there_are_any():
    """Earlier versions refuse a field that they do not know."""
    assert "states" not in json.loads(manifest({}).model_dump_json())
    written = manifest({"h0": "hn"}).model_dump_json()
    assert Manifest.model_validate_json(written).states == {"h0": "hn"}
