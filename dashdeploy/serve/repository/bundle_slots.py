"""The places of bundles: which version of which model each holds, and which of them are to be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.serve.repository.bundle_folders import Fingerprint
from dashdeploy.serve.repository.served_model import ServedModel


@dataclass
class Place:
    """One bundle's folder.

    Attributes:
        path: the folder.
        name: the model's name, as last read.
        version: the model's version, as last read.
        model: what is served from it; None if nothing is.
        reason: why the newest content is not served; empty if it is.
        unloaded: whether a client asked for that.
        seen: the fingerprint of what was loaded, or tried, last.
        reloads: how often new content took the old one's place.
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


def wanted(places: Sequence[Place], *, latest: int | None) -> list[Place]:
    """The places that the version policy serves.

    Args:
        places: every place.
        latest: how many versions of a model, the highest first; None for all.
    """
    known = [place for place in places if place.version and not place.unloaded]
    return [
        place
        for place in known
        if latest is None
        or latest
        > sum(other.name == place.name and int(other.version) > int(place.version) for other in known)
    ]


def check_duplicates(places: Sequence[Place]) -> None:
    """Refuse two bundles of one model in one version.

    Raises:
        InputError: there are two.
    """
    holders: dict[tuple[str, str], Path] = {}
    for place in places:
        key = (place.name, place.version)
        if place.version and key in holders:
            raise InputError(
                f"{place.path} and {holders[key]} both hold a model named {place.name!r} in version "
                f"{place.version}; export one of them again with another --name or version"
            )
        holders[key] = place.path
