"""Triton's model configuration, ``config.pbtxt``: written from a bundle's manifest, and read again.

The message is Triton's own ``ModelConfig`` (from tritonclient): what is written parses, and a field that Triton
does not know is found when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import Manifest
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError

CONFIG_NAME = "config.pbtxt"
LABELS_NAME = "labels.txt"
SOURCE_PARAMETER = "source"
"""The parameter that records the run or the file that a model came from; Triton hands it to the backend."""

_QUEUE_SIZE = 256
_QUEUE_TIMEOUT_MICROSECONDS = 30_000_000
SEQUENCE_IDLE_MICROSECONDS = 60_000_000
MOST_SEQUENCES = 1024
"""As `dashdeploy.serve` has them."""


@dataclass(frozen=True)
class ModelKind:
    """How Triton runs a model.

    Attributes:
        backend: the backend's name.
        platform: the name that older clients ask for.
        file_name: of the model within a version's folder.
        device: where instances run, of ``ModelInstanceGroup.Kind``.
    """

    backend: str
    platform: str
    file_name: str
    device: str


def triton_config(
    manifest: Manifest,
    name: str,
    kind: ModelKind,
    batches: tuple[int, int, int],
    hashes: Mapping[int, str],
    *,
    batched: bool,
    identity: Mapping[str, str] | None = None,
) -> str:
    """The text of ``config.pbtxt``.

    Args:
        manifest: the bundle's.
        name: the model's, which is its folder's.
        kind: how Triton runs it.
        batches: smallest, most usual and largest batch.
        hashes: the sha256 of each version's model, by version.
        batched: whether Triton may put requests together along the first axis.
        identity: what tells the model from another one, by parameter; see `model_identity`.

    Raises:
        InputError: Triton does not serve a tensor of the model.
        MissingCapabilityError: tritonclient is not installed.
    """
    from google.protobuf import text_format

    pb = messages()
    _, usual, largest = batches
    batched = batched and can_batch(manifest)
    config = pb.ModelConfig(
        name=name,
        backend=kind.backend,
        platform=kind.platform,
        default_model_filename=kind.file_name,
        max_batch_size=largest if batched else 0,
    )
    for spec in manifest.inputs:
        if spec.name not in manifest.states:
            config.input.add(name=spec.name, data_type=type_of(spec), dims=dims(spec, batched=batched))
    for spec in manifest.outputs:
        if spec.name in manifest.states.values():
            continue
        labels = LABELS_NAME if manifest.labels else ""
        config.output.add(
            name=spec.name, data_type=type_of(spec), dims=dims(spec, batched=batched), label_filename=labels
        )
    # Two versions, so that clients of the last one are served while they move.
    config.version_policy.latest.num_versions = 2
    config.instance_group.add(kind=pb.ModelInstanceGroup.Kind.Value(kind.device), count=1)
    if manifest.states:
        _add_states(config, manifest, sorted({usual, largest} - {1}) if batched else [], batched=batched)
    elif batched:
        batching = config.dynamic_batching
        batching.preferred_batch_size.extend(sorted({usual, largest} - {1}))
        batching.max_queue_delay_microseconds = 0  # a batch forms from what came while the engine was busy
        policy = batching.default_queue_policy
        policy.timeout_action = pb.ModelQueuePolicy.TimeoutAction.REJECT
        policy.default_timeout_microseconds = _QUEUE_TIMEOUT_MICROSECONDS
        policy.allow_timeout_override = True
        policy.max_queue_size = _QUEUE_SIZE
    fixed = all(
        isinstance(axis, int) for spec in manifest.inputs for axis in spec.shape[1 if batched else 0 :]
    )
    if fixed and not manifest.states:
        for size in sorted({1, usual}) if batched else [0]:
            warm_up = config.model_warmup.add(name=f"random, batch {size or 'fixed'}", batch_size=size)
            for spec in manifest.inputs:
                given = warm_up.inputs[spec.name]
                given.data_type, given.random_data = type_of(spec), True
                given.dims.extend(dims(spec, batched=batched))
    config.parameters["precision"].string_value = manifest.precision
    for key, value in (identity or {}).items():
        config.parameters[key].string_value = value
    for version, digest in sorted(hashes.items()):
        config.parameters[f"sha256_of_version_{version}"].string_value = digest
    return str(text_format.MessageToString(config))


def can_batch(manifest: Manifest) -> bool:
    """Whether Triton's configuration can say that requests share a batch: not of a tensor that is a batch axis alone.

    Triton would have clients send another shape, [batch, 1].
    """
    return all(len(spec.shape) > 1 for spec in (*manifest.inputs, *manifest.outputs))


def _add_states(config: Any, manifest: Manifest, preferred: list[int], *, batched: bool) -> None:  # noqa: ANN401
    """Let Triton keep the states of each sequence, from zeros on: its implicit state.

    Triton takes 1 for a dynamic axis of a new state, and would leave the values of one without an initial state open.
    """
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = SEQUENCE_IDLE_MICROSECONDS
    batching.oldest.max_candidate_sequences = MOST_SEQUENCES
    batching.oldest.preferred_batch_size.extend(preferred)
    inputs = {spec.name: spec for spec in manifest.inputs}
    for name, next_name in manifest.states.items():
        spec = inputs[name]
        state = batching.state.add(
            input_name=name, output_name=next_name, data_type=type_of(spec), dims=dims(spec, batched=batched)
        )
        state.initial_state.add(
            name="zeros",
            data_type=type_of(spec),
            dims=[max(1, length) for length in dims(spec, batched=batched)],
            zero_data=True,
        )


def parse_config(path: Path) -> Any:  # noqa: ANN401 - a protobuf message
    """Read a ``config.pbtxt``.

    Raises:
        InputError: the file is missing, or Triton would refuse it; the message names line and column.
        MissingCapabilityError: tritonclient is not installed.
    """
    from google.protobuf import text_format

    pb = messages()
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except FileNotFoundError as error:
        raise InputError(
            f"{path.parent} is not a model of a Triton repository: it has no {CONFIG_NAME}"
        ) from error
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(
            f"{path}: {' '.join(str(error).split())}; write it again with `triton_repository`"
        ) from error


def messages() -> Any:  # noqa: ANN401 - a module without type information
    """Triton's messages.

    Raises:
        MissingCapabilityError: tritonclient is not installed.
    """
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError as error:
        raise MissingCapabilityError(
            "Triton's model configuration needs tritonclient; install it with: pip install 'dashdeploy[triton]'"
        ) from error
    return model_config_pb2


def type_of(spec: TensorSpec) -> int:
    """Triton's number for a tensor's element type.

    Raises:
        InputError: Triton has none.
    """
    datatype = DATATYPE_BY_NUMPY_NAME.get(spec.dtype)
    if datatype is None:
        raise InputError(f"{spec.name} has the type {spec.dtype}, which Triton does not serve")
    return int(messages().DataType.Value("TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"))


def dims(spec: TensorSpec, *, batched: bool) -> list[int]:
    """The shape as Triton writes it: without the axis that it batches along, -1 for an axis that is dynamic.

    Raises:
        InputError: the tensor is a single number without axes, which Triton does not serve.
    """
    if not spec.shape:
        raise InputError(
            f"{spec.name} is a number without axes, which Triton does not serve: leave `triton_repository` out, or "
            "give the model an axis of length 1 there"
        )
    return [axis if isinstance(axis, int) else -1 for axis in spec.shape[1 if batched else 0 :]]
