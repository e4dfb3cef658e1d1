"""The run directory: what search writes and export reads, as far as no network is built."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.errors import InputError, first_line, stage_call

if TYPE_CHECKING:
    from torch import nn

CONFIG_NAME = "config.json"
ARCHITECTURE_NAME = "architecture.json"
WEIGHTS_NAME = "model.safetensors"
BACKBONE_WEIGHTS_NAME = "backbone.safetensors"
METRICS_NAME = "metrics.json"
HISTORY_NAME = "metrics.jsonl"
SAMPLES_NAME = "samples.npz"
LATENCY_NAME = "latency.json"
TUNING_NAME = "tuning.json"
SHORTLIST_NAME = "shortlist.json"
LATER_FIELDS = ("searched_arguments", "towers")
"""Of an `Architecture`: what the first version did not know."""


def member_weights_name(member: int) -> str:
    """The file of one member's weights: ``model.safetensors`` of the first, ``model.2.safetensors`` of the second."""
    return WEIGHTS_NAME if member == 1 else WEIGHTS_NAME.replace(".", f".{member}.", 1)


def normalized_entropy(shares: Sequence[float]) -> float:
    """Entropy of shares that add up to 1, as a part of that of uniform ones: 1 is undecided, 0 is certain."""
    if len(shares) < 2:
        return 0.0
    return sum(-share * math.log(share) for share in shares if share > 0) / math.log(len(shares))


class LayerArchitecture(BaseModel):
    """What the search chose for one convolution.

    Attributes:
        name: the convolution's qualified name in the backbone, such as ``blocks.0.convs.1``.
        kernel_size: taps per axis.
        dilation: distance between taps, per axis.
        alpha: architecture parameters after softmax, ``alpha[i][j]`` for kernel size i and dilation j.
        causal: whether kernels are aligned at their last tap, as in the convolution that was replaced.
        original: whether the backbone's own kernel was kept, because it did better on the short list.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    kernel_size: int
    dilation: int
    alpha: list[list[float]]
    causal: bool = False
    original: bool = False

    @property
    def entropy(self) -> float:
        """Of alpha: 1 is undecided, 0 is certain."""
        return normalized_entropy([share for row in self.alpha for share in row])


class Towers(BaseModel):
    """Several networks side by side that make up one, which gives the mean of what they predict.

    S. Zhao et al., "Towards better accuracy-efficiency trade-offs: divide and co-training", IEEE Transactions on
    Image Processing 2022 (arXiv 2011.14660): S networks whose width is 1 / sqrt(S) of one network's have together
    about as many multiply-adds. Those of a network that is much smaller than the backbone may have its whole width.

    Attributes:
        count: how many.
        arguments: of the backbone's factory, in place of the architecture's own, such as a smaller width.
        kind: what is predicted, which tells how the mean is taken; see `dashdeploy.backbones.ensemble.Ensemble`.
    """

    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=2)]
    arguments: dict[str, Any]
    kind: Literal["classification", "multi-label", "regression"]


class Architecture(BaseModel):
    """The content of ``architecture.json``: everything that is needed to build the network again.

    Attributes:
        backbone: the backbone's registered name, or ``module:factory``.
        arguments: keyword arguments of the backbone's factory (channels, classes, width).
        searched_arguments: those that the searched network alone has, in place of or beside them, such as the patches
            that it cuts series into; not written if there are none.
        kernel_sizes: the search space K.
        dilations: the search space D.
        layers: one entry per searched convolution, in the order of ``named_modules``.
        kept: the convolutions that stayed as they were, by name, each with the reason.
        towers: of which the network is made, each with the same kernels; None if it is one, and not written then.
    """

    model_config = ConfigDict(extra="forbid")

    backbone: str
    arguments: dict[str, Any]
    searched_arguments: dict[str, Any] = Field(default_factory=dict)
    kernel_sizes: list[int]
    dilations: list[int]
    layers: list[LayerArchitecture]
    kept: dict[str, str] = Field(default_factory=dict)
    towers: Towers | None = None

    @property
    def own_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the factory for the searched network, without what its towers have instead."""
        return self.arguments | self.searched_arguments

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Earlier versions refuse a field that they do not know; what does not use it they can read."""
        content: dict[str, Any] = serialize(self)
        return {name: value for name, value in content.items() if name not in LATER_FIELDS or value}


@dataclass(frozen=True)
class RunDirectory:
    """What a finished run says in its JSON files; `dashdeploy.backbones.run.Run` builds its networks as well."""

    path: Path
    config: dict[str, Any]
    architecture: Architecture
    metrics: dict[str, Any]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the run at `path`.

        Raises:
            InputError: the run is missing, unfinished or malformed.
        """
        path = Path(path)
        if not path.is_dir():
            call = stage_call("search", task="mnist1d", out=path)
            raise InputError(f"{path}: no such run; write one with: {call}")
        config, metrics = (_read_json(path / name) for name in (CONFIG_NAME, METRICS_NAME))
        architecture = load_architecture(path)
        run = cls(path, config, architecture, metrics)
        for member in range(1, run.members + 1):
            name = member_weights_name(member)
            if not (path / name).is_file():
                raise InputError(f"{path} is not a finished run: it has no {name}")
        return run

    @property
    def members(self) -> int:
        """How many networks were trained with the searched kernels; more than one are an ensemble.

        Raises:
            InputError: ``config.json`` does not say it in a number.
        """
        settings = self.config.get("settings") if isinstance(self.config, dict) else None
        members = settings.get("ensemble", 1) if isinstance(settings, dict) else 1
        if type(members) is not int or members < 1:
            raise InputError(
                f"{self.path / CONFIG_NAME}: ensemble = {members!r} is not a number of members; the file was "
                "changed by hand, search again"
            )
        return members


def load_architecture(folder: Path) -> Architecture:
    """Read the ``architecture.json`` of the run in `folder`.

    Raises:
        InputError: it is missing or malformed.
    """
    path = folder / ARCHITECTURE_NAME
    try:
        return Architecture.model_validate(_read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Fill `model` with the weights at `path` and put it in evaluation mode.

    Raises:
        InputError: the file is missing or holds another network's weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not hold this architecture's weights: {first_line(error)}") from error
    return model.eval()


def _read_json(path: Path) -> Any:  # noqa: ANN401 - the content is whatever the file holds
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} is not a finished run: it has no {path.name}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
