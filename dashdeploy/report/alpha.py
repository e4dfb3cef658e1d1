"""The architecture parameters: their shares at the end of the search as heat maps, and how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashdeploy.report.charts import group
from dashdeploy.report.svg import element, picture, text

_LEVELS = 10
MOST_EPOCHS = 48
"""More epochs than this are thinned out."""

_ACROSS = 3


@dataclass(frozen=True)
class LayerAlpha:
    """One layer's shares.

    Attributes:
        name: the layer's name.
        shares: at the end, by kernel size and dilation, [|K|][|D|].
        history: after each epoch of the search, [epochs][|K|][|D|]; empty if it was not recorded.
    """

    name: str
    shares: Sequence[Sequence[float]]
    history: Sequence[Sequence[Sequence[float]]] = ()


def draw_shares(
    layers: Sequence[LayerAlpha], kernel_sizes: Sequence[int], dilations: Sequence[int]
) -> Markup:
    """A heat map per layer: kernel sizes down, dilations across; the chosen candidate is framed."""
    if not layers:
        return Markup("")
    cell = 26
    wide, high = len(dilations) * cell + 52, len(kernel_sizes) * cell + 58
    across = max(1, min(_ACROSS, 720 // wide))
    parts = []
    for index, layer in enumerate(layers):
        x, y = (index % across) * (wide + 16) + 30, (index // across) * high + 22
        best = max((share, i, j) for i, row in enumerate(layer.shares) for j, share in enumerate(row))
        shapes = [text(x, y - 8, _tail(layer.name, wide), class_="small strong")]
        for i, row in enumerate(layer.shares):
            shapes.append(text(x - 6, y + i * cell + 17, str(kernel_sizes[i]), class_="tiny end"))
            for j, share in enumerate(row):
                chosen = (i, j) == best[1:]
                shapes.append(
                    element(
                        "rect",
                        element("title", f"k {kernel_sizes[i]}, d {dilations[j]}: {share:.3f}"),
                        x=x + j * cell,
                        y=y + i * cell,
                        width=cell - 2,
                        height=cell - 2,
                        fill_opacity=round(0.06 + 0.94 * min(max(share, 0.0), 1.0), 3),
                        class_="heat chosen" if chosen else "heat",
                    )
                )
        for j, dilation in enumerate(dilations):
            middle = x + j * cell + cell / 2 - 1
            shapes.append(
                text(middle, y + len(kernel_sizes) * cell + 12, str(dilation), class_="tiny middle")
            )
        label = (
            f"{layer.name}: k {kernel_sizes[best[1]]}, d {dilations[best[2]]} with a share of {best[0]:.2f}"
        )
        parts.append(group(shapes, layer.name, label))
    rows = -(-len(layers) // across)
    width = min(across, len(layers)) * (wide + 16) + 30
    described = "; ".join(
        f"{layer.name}: largest share {max(map(max, layer.shares)):.2f}" for layer in layers
    )
    title = "Shares of the candidates: kernel sizes down, dilations across"
    return picture(width, rows * high + 4, title, described, parts, least=min(width, 560))


def draw_evolution(
    layers: Sequence[LayerAlpha], kernel_sizes: Sequence[int], dilations: Sequence[int]
) -> Markup:
    """A strip per layer: epochs across, candidates down, the darker the larger the share."""
    known = [layer for layer in layers if layer.history]
    if not known:
        return Markup("")
    candidates = [(k, d) for k in kernel_sizes for d in dilations]
    line, wide = 7, 300
    high = len(candidates) * line + 46
    parts = []
    for index, layer in enumerate(known):
        x, y = (index % 2) * (wide + 60) + 50, (index // 2) * high + 22
        epochs = thinned(len(layer.history), MOST_EPOCHS)
        step = wide / len(epochs)
        levels: dict[int, list[str]] = {}
        for column, epoch in enumerate(epochs):
            flat = [share for row in layer.history[epoch] for share in row]
            for row, share in enumerate(flat):
                level = min(_LEVELS, round(_LEVELS * share))
                if level:
                    place = f"M{x + column * step:.1f},{y + row * line}h{step:.1f}v{line}h-{step:.1f}z"
                    levels.setdefault(level, []).append(place)
        shapes = [
            text(x, y - 8, _tail(layer.name, wide), class_="small strong"),
            element("rect", x=x, y=y, width=wide, height=len(candidates) * line, class_="frame"),
        ]
        for level, places in sorted(levels.items()):
            opacity = round(level / _LEVELS, 2)
            shapes.append(element("path", d="".join(places), class_="heat", fill_opacity=opacity))
        for i, k in enumerate(kernel_sizes):
            shapes.append(text(x - 5, y + (i * len(dilations) + 1) * line, f"k {k}", class_="tiny end"))
        shapes.append(text(x, y + len(candidates) * line + 11, "epoch 1", class_="tiny"))
        last = text(x + wide, y + len(candidates) * line + 11, str(len(layer.history)), class_="tiny end")
        parts.append(group([*shapes, last], layer.name, f"{layer.name}: how its shares came about"))
    rows = -(-len(known) // 2)
    width = min(2, len(known)) * (wide + 60) + 10
    title = "How the shares came about: epochs across, candidates down (dilations within a kernel size)"
    described = "; ".join(f"{layer.name} over {len(layer.history)} epochs" for layer in known)
    return picture(width, rows * high, title, described, parts, least=min(width, 640))


def thinned(count: int, most: int) -> list[int]:
    """At most `most` indices from 0 to count - 1, evenly spread, the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _tail(words: str, width: int) -> str:
    most = int(width / 6.8)
    return words if len(words) <= most else f"…{words[-most + 1 :]}"
