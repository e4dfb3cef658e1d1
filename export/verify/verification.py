"""Checks what export wrote, later and elsewhere: a bundle, a Triton repository, an InferenceService of KServe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import MANIFEST_NAME, Bundle
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.kserve import read_kserve
from dashdeploy.export.deploy.triton_config import CONFIG_NAME
from dashdeploy.export.verify.bundle import check_bundle
from dashdeploy.export.verify.triton import check_repository
from dashdeploy.progress import Progress, silent
from dashdeploy.report.text_table import table


@dataclass
class Findings:
    """What was checked in one place.

    Attributes:
        path: the place.
        kind: ``bundle``, ``triton repository`` or ``inference service``.
        checks: what was checked and what was found, in order.
    """

    path: Path
    kind: str
    checks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """For a person."""
        return table(["check", "found"], self.checks, title=f"{self.kind} {self.path}: good")

    @property
    def data(self) -> dict[str, Any]:
        """For a machine."""
        checks = [{"check": check, "found": found} for check, found in self.checks]
        return {"path": str(self.path), "kind": self.kind, "good": True, "checks": checks}

    def add(self, check: str, found: str) -> None:
        """Note a check that was passed, or could not be made here."""
        self.checks.append((check, found))


def verify(path: Path, progress: Progress = silent) -> Findings:
    """Check everything that can be checked at `path`; the first thing that is wrong ends it.

    Args:
        path: a bundle, a Triton repository or one model of it, or an InferenceService.
        progress: a function that gets a line for each step.

    Raises:
        InputError: it is none of these, or was changed, damaged or made wrongly.
        GateError: a model does not agree with its reference any more.
    """
    if (path / MANIFEST_NAME).is_file():
        findings = Findings(path, "bundle")
        check_bundle(Bundle.load(path), findings.add, progress)
    elif (path / CONFIG_NAME).is_file() or any(path.glob(f"*/{CONFIG_NAME}")):
        findings = Findings(path, "triton repository")
        check_repository(path, findings.add)
    elif path.suffix in (".yaml", ".yml") and path.is_file():
        findings = Findings(path, "inference service")
        service = read_kserve(path)
        findings.add("fields", f"{service.metadata.name}, storage {service.spec.predictor.model.storageUri}")
    elif not path.exists():
        raise InputError(f"{path}: no such bundle, Triton repository or InferenceService")
    else:
        raise InputError(
            f"{path} is not a bundle (no {MANIFEST_NAME}), no Triton repository (no {CONFIG_NAME}) and no .yaml file"
        )
    return findings
