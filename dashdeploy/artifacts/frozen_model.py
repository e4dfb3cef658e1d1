"""What the project's files are read into and written from: models that neither change nor take unknown fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A pydantic model without setters, which refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
