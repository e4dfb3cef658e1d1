"""Costs that were measured, kept on disk so that each convolution is measured once per machine.

The file is named after the target's description (engine, version, device, threads), so that costs from
elsewhere never mix in. Several processes may use it at once: a lock guards every read and write, and a write
replaces the file whole. What cannot be read is rebuilt, never trusted.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.errors import InputError
from dashdeploy.machine import cache_folder

_FORMAT = 1
_LOG = logging.getLogger(__name__)


class TuningCache:
    """Measured seconds and errors by convolution and lowering, for one target.

    Args:
        device: the target's description.
        folder: where the file lives; it is made if missing.
    """

    def __init__(self, device: str, folder: Path | None = None) -> None:
        self._device = device
        folder = folder or cache_folder()
        with _named_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"costs-{sha256(device.encode()).hexdigest()[:16]}.json"
        self._lock = FileLock(f"{self.path}.lock")

    def get(self, signature: str) -> dict[str, tuple[float, float]]:
        """(seconds, error) by the lowering's label, for a convolution's signature; empty if unknown.

        Raises:
            InputError: the folder cannot be written.
        """
        with self._locked():
            return self._read().get(signature, {})

    def add(self, signature: str, costs: dict[str, tuple[float, float]]) -> None:
        """Keep (seconds, error) by label, beside what other processes have added meanwhile."""
        with self._locked():
            content = self._read()
            content[signature] = {**content.get(signature, {}), **costs}
            document = {"format": _FORMAT, "device": self._device, "costs": content}
            write_text_atomically(self.path, json.dumps(document, indent=1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _named_os_errors(self.path.parent):
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _read(self) -> dict[str, dict[str, tuple[float, float]]]:
        try:
            document = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            document = None
        costs = _validated(document, self._device)
        if costs is None:
            _LOG.warning("%s is damaged; its costs are measured again", self.path)
            self.path.unlink(missing_ok=True)
            return {}
        return costs


@contextmanager
def _named_os_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot keep measured costs in {folder}: {error.strerror or error}; "
            "name a writable folder in the environment variable DASHDEPLOY_CACHE"
        ) from error


def _validated(document: Any, device: str) -> dict[str, dict[str, tuple[float, float]]] | None:  # noqa: ANN401
    """The costs of a well-formed document for this device, or None."""
    if (
        not isinstance(document, dict)
        or document.get("format") != _FORMAT
        or document.get("device") != device
    ):
        return None
    costs: dict[str, dict[str, tuple[float, float]]] = {}
    try:
        for signature, entries in document["costs"].items():
            costs[signature] = {}
            for label, (seconds, error) in entries.items():
                if not (math.isfinite(seconds) and seconds > 0 and error >= 0):
                    return None
                costs[signature][label] = (float(seconds), float(error))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return costs
