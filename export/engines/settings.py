"""What a user may choose about a TensorRT engine."""

from __future__ import annotations

import re

from pydantic import ValidationError, field_validator

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.errors import InputError


class EngineSettings(FrozenModel):
    """Settings of the engines of one export.

    Attributes:
        compute_capabilities: the GPUs that a TensorRT-RTX engine is built for, as NVIDIA numbers them. Plain
            TensorRT builds for the GPU of this machine.
        batches: smallest, most usual and largest batch of a model whose batch is dynamic.
    """

    compute_capabilities: tuple[str, ...] = ("8.0", "8.6", "8.9", "12.0")
    batches: tuple[int, int, int] = (1, 8, 32)

    @classmethod
    def parse(cls, compute_capabilities: str, batches: str) -> EngineSettings:
        """Read what a user wrote: ``8.6,8.9`` and ``1,8,32``.

        Raises:
            InputError: either is malformed.
        """
        sizes = [text.strip() for text in batches.split(",")]
        if len(sizes) != 3 or not all(size.isascii() and size.isdigit() for size in sizes):
            raise InputError(f"`engine_batches={batches}`: write MIN,OPT,MAX, such as 1,8,32")
        capabilities = tuple(text.strip() for text in compute_capabilities.split(","))
        try:
            return cls.model_validate(
                {"compute_capabilities": capabilities, "batches": tuple(int(size) for size in sizes)}
            )
        except ValidationError as error:
            first = error.errors()[0]
            parameter = str(first["loc"][0]).replace("batches", "engine_batches")
            raise InputError(f"`{parameter}`: {first['msg'].removeprefix('Value error, ')}") from error

    @field_validator("compute_capabilities")
    @classmethod
    def _well_formed(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError("give at least one compute capability, such as 8.9")
        for value in values:
            if not re.fullmatch(r"[1-9][0-9]?\.[0-9]", value, re.ASCII):
                raise ValueError(f"{value!r} is not a compute capability; write it like 8.9")
            if values.count(value) > 1:
                raise ValueError(f"{value} comes twice; name each once")
        return values

    @field_validator("batches")
    @classmethod
    def _ascending(cls, values: tuple[int, int, int]) -> tuple[int, int, int]:
        smallest, usual, largest = values
        if not 1 <= smallest <= usual <= largest:
            raise ValueError(f"{smallest},{usual},{largest} is not MIN,OPT,MAX in ascending order, from 1 up")
        return values
