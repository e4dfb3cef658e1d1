"""What makes two bundles versions of one model in a Triton repository.

The interface alone does not: unrelated models often have the same inputs and outputs, and bundles are often called
alike. What a model came from and what its network looks like are recorded in the parameters of ``config.pbtxt``,
which Triton hands to the backend and otherwise leaves alone. Weights do not count, so that a model that was trained
again is the same model; nor do searched kernels, since a run's network is taken as it was before the search.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from dashdeploy.artifacts.bundle import BACKBONE_NAME, DIRECT_NAME, MODEL_NAME, Bundle
from dashdeploy.export.deploy.triton_config import SOURCE_PARAMETER

_STRUCTURE_PARAMETER = "structure"


@dataclass(frozen=True)
class ModelIdentity:
    """What a model is, apart from its weights.

    Attributes:
        source: the name of the run or the file that it came from; None where that is not recorded.
        structure: the digest of its network; None where that is not recorded.
    """

    source: str | None
    structure: str | None

    @classmethod
    def of(cls, bundle: Bundle) -> ModelIdentity:
        """The identity of a bundle's model: of the backbone for a run, of the model as it was given otherwise."""
        files = (bundle.file(name) for name in (BACKBONE_NAME, DIRECT_NAME, MODEL_NAME))
        network = next(file for file in files if file is not None)
        # The shapes of the weights are wanted alone, and those are in the file itself.
        model = onnx.load(network, load_external_data=False)
        return cls(bundle.manifest.source, structure_of(model.graph))

    @classmethod
    def recorded(cls, config: Any) -> ModelIdentity:  # noqa: ANN401 - a protobuf message
        """The identity that a ``config.pbtxt`` records; earlier versions recorded less, or nothing."""
        found = (
            config.parameters[name].string_value if name in config.parameters else None
            for name in (SOURCE_PARAMETER, _STRUCTURE_PARAMETER)
        )
        return cls(*found)

    def parameters(self) -> dict[str, str]:
        """What is recorded, by parameter."""
        values = {SOURCE_PARAMETER: self.source, _STRUCTURE_PARAMETER: self.structure}
        return {name: value for name, value in values.items() if value is not None}

    def difference(self, other: ModelIdentity) -> str | None:
        """Why `other` is another model, as the end of "this one"; None where nothing that both record differs."""
        if self.source is not None and other.source is not None and self.source != other.source:
            return f"is of {other.source}"
        if self.structure is not None and other.structure is not None and self.structure != other.structure:
            return f"of {other.source} is another network"
        return None


def structure_of(graph: onnx.GraphProto) -> str:
    """The digest of a graph's operators, attributes, wiring and shapes of weights; names and values do not count."""
    return hashlib.sha256(json.dumps(_described(graph, {})).encode()).hexdigest()


def _described(graph: onnx.GraphProto, outer: Mapping[str, object]) -> list[object]:
    known = dict(outer)
    weights = {tensor.name: _weight(tensor) for tensor in graph.initializer}
    given = [value.name for value in graph.input if value.name not in weights]
    known |= {name: ["input", number] for number, name in enumerate(given)} | weights
    nodes: list[object] = []
    for number, node in enumerate(graph.node):
        attributes = sorted((each.name, _attribute(each, known)) for each in node.attribute)
        nodes.append([node.domain, node.op_type, attributes, _wired(node.input, known)])
        known |= {name: ["node", number, place] for place, name in enumerate(node.output) if name}
    return [nodes, _wired([value.name for value in graph.output], known)]


def _wired(names: Sequence[str], known: Mapping[str, object]) -> list[object]:
    return [known.get(name) for name in names]


def _weight(tensor: onnx.TensorProto) -> list[object]:
    return ["weight", tensor.data_type, list(tensor.dims)]


def _attribute(attribute: onnx.AttributeProto, known: Mapping[str, object]) -> str:
    """An attribute's value; of a tensor its shape, of a graph its description."""
    if attribute.type == onnx.AttributeProto.TENSOR:
        return json.dumps(_weight(attribute.t))
    if attribute.type == onnx.AttributeProto.GRAPH:
        return json.dumps(_described(attribute.g, known))
    unnamed = onnx.AttributeProto()
    unnamed.CopyFrom(attribute)
    unnamed.ClearField("doc_string")
    content: bytes = unnamed.SerializeToString(deterministic=True)
    return content.hex()
