"""Whole networks of random weights: original backbone, searched kernels direct, and compiled.

The list is fixed, so that figures of different versions and machines can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from dashdeploy.artifacts.atomic import write_bytes_atomically
from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.run import Architecture, LayerArchitecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.backbones.convnext import ConvNeXt
from dashdeploy.backbones.tcn import TCN
from dashdeploy.backbones.wide_resnet import WideResNet
from dashdeploy.bench.common.checks import suggestion
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.networks.inception_time import InceptionTime
from dashdeploy.errors import InputError
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source, from_modules
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.pipeline import export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.progress import Progress, silent


@dataclass(frozen=True)
class Network:
    """One entry of the list.

    Attributes:
        description: what it is, in words.
        input_shape: [channels, *spatial], without the batch.
        searched: builds the network to compile, with large kernels, as a search finds them or as published.
        original: builds the backbone with its own kernels; None for a network that is published as it is.
    """

    description: str
    input_shape: tuple[int, ...]
    searched: Callable[[], nn.Module]
    original: Callable[[], nn.Module] | None = None


_RESNET1D_ARGUMENTS = {"in_channels": 1, "outputs": 10, "width": 64}
_RESNET1D_KERNELS = (15, 11, 19, 7, 15, 19, 11, 15, 7)
_RESNET1D_DILATIONS = (1, 3, 15, 7, 3, 1, 15, 3, 7)


def _searched_resnet1d() -> nn.Module:
    layers = [
        LayerArchitecture(name=f"blocks.{i // 3}.convs.{i % 3}", kernel_size=k, dilation=d, alpha=[[1.0]])
        for i, (k, d) in enumerate(zip(_RESNET1D_KERNELS, _RESNET1D_DILATIONS, strict=True))
    ]
    return build_searched(
        Architecture(
            backbone="resnet1d",
            arguments=_RESNET1D_ARGUMENTS,
            kernel_sizes=sorted(set(_RESNET1D_KERNELS)),
            dilations=sorted(set(_RESNET1D_DILATIONS)),
            layers=layers,
        )
    )


_WIDE_RESNET_KERNELS = (
    (5, 3),
    (7, 1),
    (3, 7),
    (9, 1),
    (7, 3),
    (5, 1),
    (9, 1),
    (3, 3),
    (7, 1),
    (5, 3),
    (3, 1),
    (9, 1),
)
"""Kernel size and dilation of the convolutions of WRN-16-4's blocks, in order."""


def _searched_wide_resnet() -> nn.Module:
    model = WideResNet(3, 10)
    names = [
        name for name, module in model.named_modules() if isinstance(module, nn.Conv2d) and ".conv" in name
    ]
    for name, (k, d) in zip(names, _WIDE_RESNET_KERNELS, strict=True):
        conv = model.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        stride = (conv.stride[0], conv.stride[1])
        padding = d * (k - 1) // 2
        searched = nn.Conv2d(conv.in_channels, conv.out_channels, k, stride, padding, dilation=d, bias=False)
        model.set_submodule(name, searched)
    return model


NETWORKS: Mapping[str, Network] = {
    "resnet1d": Network(
        "ResNet1D, 64 and 128 channels, N = 1000, kernels 7 to 19, dilations 1 to 15",
        (1, 1000),
        _searched_resnet1d,
        lambda: build_backbone("resnet1d", _RESNET1D_ARGUMENTS),
    ),
    "tcn": Network(
        "TCN, 8 levels, 100 channels, kernel 7, dilations 1 to 128, N = 784",
        (1, 784),
        lambda: TCN(1, 10, 100),
    ),
    "inceptiontime": Network(
        "InceptionTime, depth 6, 32 filters, kernels 39, 19 and 9, N = 1000",
        (1, 1000),
        lambda: InceptionTime(1, 10),
    ),
    "wrn-16-4": Network(
        "WRN-16-4, 3 x 32 x 32, kernels 3 to 9, dilations 1 to 7",
        (3, 32, 32),
        _searched_wide_resnet,
        lambda: WideResNet(3, 10),
    ),
    "convnext": Network(
        "ConvNeXt xtiny, 3 x 64 x 64, depthwise kernels 7", (3, 64, 64), lambda: ConvNeXt(3, 10, patch=2)
    ),
}

IN_THE_LIST = "bench networks"
"""What a result says in place of the path of a network's bundle, which lay in a folder that is gone."""


@contextmanager
def exported_networks(
    names: Sequence[str] | None, settings: ExportSettings, *, progress: Progress
) -> Iterator[list[Bundle]]:
    """Bundles of networks of the list, with random weights, in a folder that is gone afterwards.

    Args:
        names: entries of `NETWORKS`; None takes all.
        settings: of every export.
        progress: told in one line what is being done.

    Raises:
        InputError: the network does not exist.
    """
    chosen = check_names(names)
    with TemporaryDirectory(prefix="dashdeploy-networks-") as folder:
        yield [export_network(name, Path(folder) / name, settings, progress=progress) for name in chosen]


def measure_networks(
    bundles: Sequence[Bundle], measure: Callable[[Bundle], LatencyReport]
) -> list[LatencyReport]:
    """Measure what `exported_networks` gives, each network in rounds of its own.

    They are not alternatives to each other, and in common rounds the slow ones would leave the quick ones few calls.

    Args:
        bundles: the networks.
        measure: measures one of them.
    """
    reports = []
    for bundle in bundles:
        measured = measure(bundle)
        facts = tuple(each.model_copy(update={"path": IN_THE_LIST}) for each in measured.bundles)
        reports.append(measured.model_copy(update={"bundles": facts}))
    return reports


def save_networks(names: Sequence[str] | None, folder: Path, *, progress: Progress = silent) -> list[Path]:
    """Write networks of the list as ONNX files with random weights, for any other command: NAME.onnx.

    A network that has an original backbone has it written beside it: NAME-backbone.onnx.

    Args:
        names: entries of `NETWORKS`; None writes all.
        folder: where the files go; it is made if missing, files of those names in it are replaced.
        progress: told in one line what is being done.

    Returns:
        The files.

    Raises:
        InputError: the network does not exist, or the folder cannot be written.
    """
    chosen = check_names(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"`folder={folder}`: {error.strerror or error}; name another folder") from error
    paths = []
    for name in chosen:
        source = network_source(name, progress)
        for stem, model in ((name, source.model), (f"{name}-backbone", source.backbone)):
            if model is not None:
                path = folder / f"{stem}.onnx"
                write_bytes_atomically(path, serialized(prepare(model)))
                paths.append(path)
    return paths


def check_names(names: Sequence[str] | None) -> list[str]:
    """The entries of `NETWORKS` that are meant; all for None.

    Raises:
        InputError: the network does not exist.
    """
    chosen = list(NETWORKS) if names is None else list(names)
    for name in chosen:
        if name not in NETWORKS:
            raise InputError(f"{name}: no such network; {suggestion(name, NETWORKS)}")
    return chosen


def export_network(name: str, out: Path, settings: ExportSettings, *, progress: Progress) -> Bundle:
    """Export an entry of `NETWORKS` with random weights.

    Args:
        name: the entry.
        out: where the bundle is to appear.
        settings: of the export.
        progress: told in one line what is being done.
    """
    return export_source(network_source(name, progress), out, settings, progress=progress)


def network_source(name: str, progress: Progress) -> Source:
    """An entry of `NETWORKS` with random weights, always the same ones.

    Args:
        name: the entry.
        progress: told in one line what is being done.
    """
    network = NETWORKS[name]
    progress(f"{name}: {network.description}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        searched = with_random_weights(network.searched())
        original = None if network.original is None else with_random_weights(network.original())
    return from_modules(Path(name), searched, original, network.input_shape, progress)


def with_random_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics that are not the identity's, so that nothing can be left out."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval()
