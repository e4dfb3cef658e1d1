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
    def parse(
        cls, compute_capabilities: str | None = None, engine_batches: str | None = None
    ) -> EngineSettings:
        """Read what a user wrote: ``8.6,8.9`` and ``1,8,32``; None takes the default and counts as not set.

        Raises:
            InputError: either is malformed.
        """
        values: dict[str, object] = {}
        if engine_batches is not None:
            sizes = [text.strip() for text in engine_batches.split(",")]
            if len(sizes) != 3 or not all(size.isascii() and size.isdigit() for size in sizes):
                raise InputError(f"`engine_batches={engine_batches}`: write MIN,OPT,MAX, such as 1,8,32")
            values["batches"] = tuple(int(size) for size in sizes)
        if compute_capabilities is not None:
            values["compute_capabilities"] = tuple(text.strip() for text in compute_capabilities.split(","))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            parameter = str(first["loc"][0]).replace("batches", "engine_batches")
            raise InputError(f"`{parameter}`: {first['msg'].removeprefix('Value error, ')}") from error

    @property
    def batches_given(self) -> bool:
        """Whether somebody set `batches`, be it to the default."""
        return "batches" in self.model_fields_set

    def check_fixed_batch(self, fixed: int | None) -> None:
        """Refuse batches that a model cannot have.

        Args:
            fixed: the model's batch; None where it is dynamic.

        Raises:
            InputError: `batches` are set, and the model's batch is fixed at another number.
        """
        if fixed is None or not self.batches_given or self.batches == (fixed,) * 3:
            return
        asked, works = (",".join(map(str, batches)) for batches in (self.batches, (fixed,) * 3))
        raise InputError(
            f"`engine_batches={asked}`: the model's batch is fixed at {fixed}; use {works} or leave it out, or "
            "export a model with a dynamic batch"
        )

    @field_validator("compute_capabilities")
    @classmethod
    def _well_formed(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError("give at least one compute capability, such as 8.9")
        for value in values:
            if not re.fullmatch(r"[1-9][0-9]?\.[0-9]", value, re.ASCII):
                raise ValueError(f"{value!r} is not a compute capability; write it like 8.9")
            if values.count(value) > 1:
                raise ValueError(f"{value} appears twice; name each once")
        return values

    @field_validator("batches")
    @classmethod
    def _ascending(cls, values: tuple[int, int, int]) -> tuple[int, int, int]:
        smallest, usual, largest = values
        if not 1 <= smallest <= usual <= largest:
            raise ValueError(f"{smallest},{usual},{largest} is not MIN,OPT,MAX in ascending order, from 1 up")
        return values
