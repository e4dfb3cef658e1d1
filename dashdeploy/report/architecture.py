"""The searched architecture as a picture: per layer its taps, over those of the original backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashdeploy.report.charts import group, ticks
from dashdeploy.report.svg import element, picture, text

_LABEL, _WIDTH, _ROW = 190, 700, 34
_NUMBERS = 108


@dataclass(frozen=True)
class Kernel:
    """One convolution's kernel, along one axis.

    Attributes:
        size: taps.
        dilation: distance between them.
    """

    size: int
    dilation: int

    @property
    def field(self) -> int:
        """Positions from the first tap to the last."""
        return self.dilation * (self.size - 1) + 1

    def __str__(self) -> str:
        return f"k {self.size}, d {self.dilation}"


@dataclass(frozen=True)
class LayerPicture:
    """One row.

    Attributes:
        name: the layer's name.
        kernel: its kernel now.
        original: the kernel of the same layer in the original backbone; None if it is not known.
        causal: whether the last tap is at the output's position, instead of the middle one.
    """

    name: str
    kernel: Kernel
    original: Kernel | None = None
    causal: bool = False


def draw_architecture(layers: Sequence[LayerPicture]) -> Markup:
    """Taps of every layer at their distances from the output's position; the original's, smaller, below."""
    if not layers:
        return Markup("")
    kernels = [(layer, kernel) for layer in layers for kernel in (layer.kernel, layer.original) if kernel]
    places = [distance for layer, kernel in kernels for distance in _ends(kernel, layer.causal)]
    margin = 0.03 * (max(*places, 1) - min(*places, -1))  # for the rounded ends of the bands
    low, high = min(*places, -1) - margin, max(*places, 1) + margin
    room = _WIDTH - _LABEL - _NUMBERS

    def across(distance: float) -> float:
        return _LABEL + room * (distance - low) / (high - low)

    bottom = 24 + _ROW * len(layers)
    parts = []
    for tick in ticks(low, high, 7):
        x = across(tick)
        parts.append(element("line", x1=x, x2=x, y1=14, y2=bottom, class_="grid"))
        parts.append(text(x, bottom + 16, f"{tick:+g}" if tick else "0", class_="small middle"))
    parts.append(
        text(_LABEL + room / 2, bottom + 32, "input positions around the output's", class_="small middle")
    )
    for index, layer in enumerate(layers):
        parts.append(_row(layer, 18 + _ROW * index, across))
    described = "; ".join(
        f"{layer.name}: {layer.kernel}, field {layer.kernel.field}"
        + (f", originally {layer.original}" if layer.original else "")
        for layer in layers
    )
    return picture(_WIDTH, bottom + 40, "Kernels per layer", described, parts, least=600)


def _row(layer: LayerPicture, y: float, across: object) -> str:
    assert callable(across)
    first, last = _ends(layer.kernel, layer.causal)
    label = layer.name if len(layer.name) <= 28 else f"…{layer.name[-27:]}"
    shapes = [
        element("rect", x=0, y=y, width=_WIDTH, height=_ROW - 4, class_="hit"),
        text(_LABEL - 10, y + 16, label, class_="small end"),
        element(
            "rect",
            x=across(first) - 4,
            y=y + 6,
            width=across(last) - across(first) + 8,
            height=12,
            rx=6,
            class_="field",
        ),
    ]
    shapes += _taps(layer.kernel, first, across, y + 12, 3.4, "tap")
    if layer.original:
        start, _ = _ends(layer.original, layer.causal)
        shapes += _taps(layer.original, start, across, y + 25, 2.0, "was")
    shapes.append(text(_WIDTH - _NUMBERS + 14, y + 16, f"{layer.kernel}", class_="small strong"))
    shapes.append(text(_WIDTH - _NUMBERS + 14, y + 28, f"field {layer.kernel.field}", class_="tiny"))
    label = f"{layer.name}: {layer.kernel}, receptive field {layer.kernel.field}"
    return group(shapes, layer.name, label)


def _taps(kernel: Kernel, first: int, across: object, y: float, radius: float, kind: str) -> list[str]:
    assert callable(across)
    places = (first + index * kernel.dilation for index in range(kernel.size))
    return [element("circle", cx=round(across(place), 2), cy=y, r=radius, class_=kind) for place in places]


def _ends(kernel: Kernel, causal: bool) -> tuple[int, int]:
    span = kernel.field - 1
    first = -span if causal else -(span // 2)
    return first, first + span
