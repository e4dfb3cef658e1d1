"""What a bundle may hold besides the ONNX model, and where it is handed over to."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.export.engines.settings import EngineSettings

DEFAULT_STORAGE_URI = "pvc://models/repository"
"""A persistent volume claim called ``models``, with the repository in it."""


class ArtifactSettings(FrozenModel):
    """The artifacts of one export.

    Attributes:
        torchscript: write ``model.ts``.
        pt2: write ``model.pt2``, torch.export's format.
        fixed_batch: write ``model.batch-N.onnx`` for so many samples.
        trt: build ``model.engine`` for this machine's GPU.
        trt_rtx: build ``model.rtx`` ahead of time.
        engine: for which GPUs and batches the engines are built.
        triton_repository: a folder that becomes, or is, a Triton model repository.
        kserve: a file for a KServe InferenceService.
        storage_uri: where KServe finds the Triton repository.
        web: a folder that becomes a static web site, which predicts in the browser.
    """

    torchscript: bool = False
    pt2: bool = False
    fixed_batch: int | None = Field(default=None, ge=1)
    trt: bool = False
    trt_rtx: bool = False
    engine: EngineSettings = Field(default_factory=EngineSettings)
    triton_repository: Path | None = None
    kserve: Path | None = None
    storage_uri: str = DEFAULT_STORAGE_URI
    web: Path | None = None

    @property
    def any(self) -> bool:
        """Whether anything at all was asked for."""
        files = self.torchscript or self.pt2 or self.trt or self.trt_rtx or self.fixed_batch is not None
        return files or any(place is not None for place in (self.triton_repository, self.kserve, self.web))
