"""The program that builds one engine in a process of its own; `builder` starts it and reads what it writes.

It is a file that Python runs and nobody imports. TensorRT-RTX merges equal constants in the order of their addresses,
so a rebuild gives the same bytes only if the process that builds allocates the same memory in the same order:
therefore this program imports TensorRT and little else, gets its model through an open file, switches the
randomization of addresses off (Linux, personality(2)), and lets one thread run at a time where it may (sched(7)).

    python build_program.py REQUEST < model.onnx > RESULT

The request is JSON; the result is a line of JSON, and the engine behind it where there is one.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_ADDR_NO_RANDOMIZE = 0x0040000
_ASK = 0xFFFFFFFF
_AGAIN = "again"


def main() -> None:
    """Build what the command line asks for."""
    fixed = _fixed_addresses()
    result = os.dup(1)
    os.dup2(2, 1)  # what the library prints is not a part of the result
    request = json.loads(sys.argv[1])
    if request["capabilities"]:  # plain TensorRT times its kernels
        _one_thread_at_a_time()
    report, engine = _build(importlib.import_module(request["module"]), request, _standard_input())
    with os.fdopen(result, "wb") as file:
        file.write(json.dumps({**report, "fixed_addresses": fixed}).encode() + b"\n")
        if engine is not None:
            file.write(engine)


def _fixed_addresses() -> bool:
    """Whether addresses are fixed; starts this program once more where they can be made so."""
    if not sys.platform.startswith("linux"):
        return False
    personality = ctypes.CDLL(None).personality
    personality.argtypes, personality.restype = [ctypes.c_ulong], ctypes.c_int
    current = personality(_ASK)
    if current >= 0 and current & _ADDR_NO_RANDOMIZE:
        return True
    if current >= 0 and sys.argv[-1] != _AGAIN and personality(current | _ADDR_NO_RANDOMIZE) >= 0:
        os.execv(sys.executable, [*sys.orig_argv, _AGAIN])  # does not return
    return False  # containers may forbid it


def _one_thread_at_a_time() -> None:
    """Each of the library's threads runs until it waits or ends: how they take turns decides what memory each gets.

    First in, first out on one core is real-time scheduling, which takes CAP_SYS_NICE: containers seldom give it.
    """
    with suppress(AttributeError, OSError):  # not Linux, or not allowed
        cores = os.sched_getaffinity(0)
        if len(cores) > 1:  # the others are everybody else's
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
            os.sched_setaffinity(0, {max(cores)})


def _standard_input() -> bytes:
    """The whole file; a plain read stops at 2 GiB."""
    size = os.fstat(0).st_size
    content = os.read(0, size)
    while len(content) < size:
        content += os.read(0, size - len(content))
    return content


def _build(trt: Any, request: dict[str, Any], model: bytes) -> tuple[dict[str, Any], Any]:  # noqa: ANN401
    """The report, and the engine or None; the sequence is the one of NVIDIA's developer guide."""
    log = _log(trt)
    if request["plugins"]:
        trt.init_libnvinfer_plugins(log, "")
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        return {"failed": "parser", "errors": _parser_errors(parser)}, None
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # it is on by default and rounds fp32 to ten bits
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine inspector
    if request["capabilities"]:
        config.num_compute_capabilities = len(request["capabilities"])
    for index, value in enumerate(request["capabilities"]):
        member = getattr(trt.ComputeCapability, "SM" + value.replace(".", ""), None)
        if member is None or not config.set_compute_capability(member, index):
            return {"failed": "capability", "value": value}, None
    profile, dynamic = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 in shape[1:]:
            return {"failed": "axes", "input": tensor.name}, None
        if shape and shape[0] == -1:
            profile.set_shape(tensor.name, *[(batch, *shape[1:]) for batch in request["batches"]])
            dynamic = True
    if dynamic:
        config.add_optimization_profile(profile)
    cache = Path(request["timing_cache"]) if request["timing_cache"] else None
    if cache is not None:
        # TensorRT itself refuses a cache of another version or another GPU.
        known = cache.read_bytes() if cache.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        return {"failed": "build", "errors": log.errors}, None
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        whole = cache.with_suffix(f".{os.getpid()}")
        whole.write_bytes(bytes(config.get_timing_cache().serialize()))
        whole.replace(cache)
    return {"failed": None, "dynamic": dynamic}, engine


def _log(trt: Any) -> Any:  # noqa: ANN401
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Log()


def _parser_errors(parser: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return [
        {
            "number": error.node(),
            "node": error.node_name(),
            "operator": error.node_operator(),
            "code": getattr(error.code(), "name", str(error.code())),
            "reason": " ".join(error.desc().split()),
        }
        for error in errors
    ]


if __name__ == "__main__":
    main()
