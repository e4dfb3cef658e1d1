"""Builds an engine from an ONNX file, with either flavour of TensorRT.

The sequence is the one of NVIDIA's developer guide (TensorRT documentation, "Building an engine"); precision comes
from the model's own types, since networks are strongly typed from TensorRT 11 on.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.cost_table import cache_folder
from dashdeploy.export.engines.parser_errors import parser_error
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.runtimes.tensorrt_flavours import Flavour
from dashdeploy.runtimes.tensorrt_log import collecting_logger


def build_engine(
    model: Path, flavour: Flavour, settings: EngineSettings, compiled_layers: Collection[str] = ()
) -> bytes:
    """Build the engine of a model.

    Args:
        model: an ONNX file whose inputs are static apart from the batch.
        flavour: which TensorRT.
        settings: for which GPUs and batches.
        compiled_layers: the layers that dashdeploy wrote, for the errors.

    Raises:
        MissingCapabilityError: the flavour cannot build on this machine.
        InputError: TensorRT does not know an operator of the model, a compute capability, or an axis that is
            dynamic.
        GateError: TensorRT refuses what dashdeploy wrote, or finds no way to run the network.
    """
    trt = flavour.load()
    log = collecting_logger(trt)
    if not flavour.ahead_of_time:
        trt.init_libnvinfer_plugins(log, "")
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(model)):
        raise parser_error(parser, flavour, compiled_layers)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # it is on by default and rounds fp32 to ten bits
    if flavour.ahead_of_time:
        _set_capabilities(trt, config, flavour, settings.compute_capabilities)
    _set_profile(builder, config, network, settings.batches)
    cache = None if flavour.ahead_of_time else _timing_cache(trt, config)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        reason = "; ".join(log.errors[-2:]) or "it gives no reason"
        raise GateError(
            f"{flavour.title} cannot build the engine: {reason}; nothing was written; try --lowering direct"
        )
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(serialized)


def _set_capabilities(trt: Any, config: Any, flavour: Flavour, wanted: tuple[str, ...]) -> None:  # noqa: ANN401
    config.num_compute_capabilities = len(wanted)
    for index, value in enumerate(wanted):
        member = getattr(trt.ComputeCapability, f"SM{value.replace('.', '')}", None)
        if member is None or not config.set_compute_capability(member, index):
            names = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
            known = sorted(f"{name[2:-1]}.{name[-1]}" for name in names)
            raise InputError(
                f"--compute-capabilities: {flavour.title} {trt.__version__} builds no engine for {value}; "
                f"it knows {', '.join(sorted(known, key=float))}"
            )


def _set_profile(builder: Any, config: Any, network: Any, batches: tuple[int, int, int]) -> None:  # noqa: ANN401
    """The range of the batch, for inputs whose batch is dynamic."""
    profile, dynamic = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 in shape[1:]:
            raise InputError(
                f"input {tensor.name} has dynamic axes besides the batch; fix them with "
                f"--input-shape {tensor.name}=1,C,N before an engine is built"
            )
        if shape and shape[0] == -1:
            profile.set_shape(tensor.name, *[(batch, *shape[1:]) for batch in batches])
            dynamic = True
    if dynamic:
        config.add_optimization_profile(profile)


def _timing_cache(trt: Any, config: Any) -> Path:  # noqa: ANN401
    """Give the builder what it has timed on this machine before; TensorRT itself refuses a foreign cache."""
    path = cache_folder() / f"tensorrt-{trt.__version__}.timing"
    known = path.read_bytes() if path.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), False)
    return path
