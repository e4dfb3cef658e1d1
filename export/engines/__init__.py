"""TensorRT engines: one thin builder for plain TensorRT and for TensorRT-RTX, which share their Python API."""

from dashdeploy.export.engines.builder import build_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.runtimes.tensorrt_flavours import RTX, TENSORRT, Flavour

__all__ = ["RTX", "TENSORRT", "EngineSettings", "Flavour", "build_engine"]
