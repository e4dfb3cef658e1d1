"""What a native stage knows of the values of a graph: constants, and shapes without the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Shape = tuple[int, ...]
"""[channels, *spatial], without the batch."""


class Constants(Mapping[str, npt.NDArray[np.generic]]):
    """The initializers of a graph. Its weights are in memory once, not twice, while they are packed."""

    def __init__(self, graph: GraphProto) -> None:
        self._tensors = {each.name: each for each in graph.initializer}

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        """The array of an initializer."""
        return numpy_helper.to_array(self._tensors[name])

    def __contains__(self, name: object) -> bool:
        """Whether there is one, without making its array."""
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tensors)


@dataclass(frozen=True)
class Facts:
    """What is known of a graph before it runs.

    Attributes:
        constants: initializers by name; an array is made whenever it is asked for, and kept by nobody.
        shapes: of float32 values whose sizes, the batch apart, are known.
        infos: ONNX's own description of values, by name.
        readers: how often every value is read; the graph's outputs count.
    """

    constants: Mapping[str, npt.NDArray[np.generic]]
    shapes: Mapping[str, Shape]
    infos: Mapping[str, ValueInfoProto]
    readers: Mapping[str, int]

    @classmethod
    def of(cls, graph: GraphProto) -> Facts:
        """The facts of a graph whose shapes were inferred."""
        constants = Constants(graph)
        infos = {info.name: info for info in (*graph.value_info, *graph.input, *graph.output)}
        shapes = {
            name: shape
            for name, info in infos.items()
            if name not in constants and (shape := _shape(info)) is not None
        }
        readers: dict[str, int] = {}
        for name in (
            *(x for node in graph.node for x in node.input),
            *(value.name for value in graph.output),
        ):
            readers[name] = readers.get(name, 0) + 1
        return cls(constants, shapes, infos, readers)


def _shape(info: ValueInfoProto) -> Shape | None:
    tensor = info.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT or not tensor.HasField("shape"):
        return None
    sizes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
    if len(sizes) < 2 or min(sizes[1:]) < 1:
        return None
    return tuple(sizes[1:])


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node by name; text is decoded."""
    found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def has_subgraph(node: NodeProto) -> bool:
    """Whether a node has a graph of its own, such as the branches of an If."""
    return any(each.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for each in node.attribute)


def pair(values: object, rank: int, default: int) -> tuple[int, int]:
    """An attribute of one entry per spatial axis, for two axes; that of a single axis is the last one."""
    given = list(values) if isinstance(values, list | tuple) else [default] * rank
    return (default, int(given[0])) if rank == 1 else (int(given[0]), int(given[1]))


def plane(spatial: Shape) -> tuple[int, int]:
    """Spatial extents for two axes; a single axis, or none, gives planes of height 1."""
    if len(spatial) == 2:
        return spatial[0], spatial[1]
    return (1, spatial[0]) if spatial else (1, 1)


def per_channel(array: npt.NDArray[np.generic], shape: Shape) -> npt.NDArray[np.float32] | None:
    """A constant that broadcasts along the channels of a value [batch, *shape], as [channels]; else None."""
    if array.dtype != np.float32:
        return None
    sizes = (1,) * (len(shape) + 1 - array.ndim) + array.shape
    if len(sizes) != len(shape) + 1 or sizes[0] != 1 or any(size != 1 for size in sizes[2:]):
        return None
    if sizes[1] not in (1, shape[0]):
        return None
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (shape[0],)), dtype=np.float32)
