"""Bundle slots: which version of which model each bundle's folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.serve.repository.bundle_folders import Fingerprint
from dashdeploy.serve.repository.served_model import ServedModel


@dataclass
class BundleSlot:
    """One bundle's folder, and what is served from it.

    Attributes:
        path: the folder.
        name: the model's name, as last read.
        version: the model's version, as last read.
        model: the loaded model; None if none is served.
        reason: why the newest content is not served; empty if it is.
        unloaded: whether a client unloaded the model.
        seen: the fingerprint of the content that was last loaded, or failed to load.
        reloads: how often new content replaced the old.
        failures: how often new content did not load.
    """

    path: Path
    name: str = ""
    version: str = ""
    model: ServedModel | None = None
    reason: str = ""
    unloaded: bool = False
    seen: Fingerprint | None = None
    reloads: int = 0
    failures: int = 0


def check_duplicates(slots: Sequence[BundleSlot]) -> None:
    """Refuse two bundles that hold the same version of a model.

    Raises:
        InputError: there are two.
    """
    holders: dict[tuple[str, str], Path] = {}
    for slot in slots:
        key = (slot.name, slot.version)
        if slot.version and key in holders:
            raise InputError(
                f"{slot.path} and {holders[key]} both hold a model named {slot.name!r} in version "
                f"{slot.version}; export one of them again with another `name` or version"
            )
        holders[key] = slot.path
