"""Charts of the report: lines over x, and horizontal bars with whiskers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashdeploy.report.svg import SERIES, element, picture, text

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 26, 40


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: as the legend calls it.
        points: (x, y), in the order of x; what is not finite is left out.
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: to its left.
        value: its length.
        high: where its whisker ends; None for no whisker.
        note: to its right.
        series: the index of its color.
        layer: the layer that it belongs to, which pointing at it shows; None if it is none's.
        strong: whether it stands out.
    """

    label: str
    value: float
    high: float | None = None
    note: str = ""
    series: int = 0
    layer: str | None = None
    strong: bool = True


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
    width: int = 620,
    height: int = 260,
) -> Markup:
    """Lines over a common x, with a legend above; empty if there is nothing to draw."""
    drawn = [
        Line(line.name, [(x, y) for x, y in line.points if math.isfinite(y) and (y > 0 or not logarithmic)])
        for line in lines
    ]
    points = [point for line in drawn for point in line.points]
    if not points:
        return Markup("")
    drawn = [line for line in drawn if line.points]
    legend, top = _legend([line.name for line in drawn], width)
    height += top - _TOP
    xs, ys = [x for x, _ in points], [y for _, y in points]
    scale = math.log10 if logarithmic else float
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = _spread(min(map(scale, ys)), max(map(scale, ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        up = (scale(y) - y_low) / (y_high - y_low)
        return _LEFT + across * (width - _LEFT - _RIGHT), height - _BOTTOM - up * (height - top - _BOTTOM)

    parts = list(legend)
    for tick in ticks(y_low, y_high):
        value = 10**tick if logarithmic else tick
        _, y = place(x_low, value)
        parts.append(element("line", x1=_LEFT, x2=width - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(text(_LEFT - 6, y + 4, f"{value:.3g}", class_="small end"))
    whole = all(x == round(x) for x in xs)
    for tick in ticks(x_low, x_high, 7):
        if whole and tick != round(tick):
            continue
        x, _ = place(tick, ys[0])
        parts.append(text(x, height - _BOTTOM + 16, f"{tick:g}", class_="small middle"))
    parts.append(text((_LEFT + width) / 2, height - 6, x_label, class_="small middle"))
    middle = (height - _BOTTOM + top) / 2
    parts.append(text(13, middle, y_label, class_="small middle", transform=f"rotate(-90 13 {middle:g})"))
    for index, line in enumerate(drawn):
        color = f"s{index % SERIES}"
        placed = [place(x, y) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in placed) if placed else ""
        dash = None if index < SERIES else "5 3"
        if len(placed) > 1:
            parts.append(element("path", d=path, class_=f"line {color}", stroke_dasharray=dash))
        if len(placed) <= 12:
            parts += [element("circle", cx=x, cy=y, r=3, class_=f"dot {color}") for x, y in placed]
    described = "; ".join(_described(line) for line in drawn if line.points)
    return picture(width, height, title, f"{y_label} over {x_label}: {described}", parts, least=520)


def bar_chart(
    title: str, bars: Sequence[Bar], *, unit: str, width: int = 680, label_width: int = 220
) -> Markup:
    """Horizontal bars, one below the other; empty if there are none."""
    if not bars:
        return Markup("")
    notes = [bar.note or f"{bar.value:.3g} {unit}" for bar in bars]
    note_width = max(130, 16 + round(6.3 * max(map(len, notes))))
    room = width - label_width - note_width
    most = max(max(bar.value, bar.high or 0) for bar in bars) or 1.0
    parts = []
    for index, (bar, note) in enumerate(zip(bars, notes, strict=True)):
        y = 8 + 20 * index
        length = room * bar.value / most
        shapes = [
            text(label_width - 8, y + 12, _cut(bar.label, label_width), class_="small end"),
            element(
                "rect",
                x=label_width,
                y=y + 2,
                width=max(length, 1.0),
                height=13,
                rx=2,
                class_=f"fill s{bar.series % SERIES}" + ("" if bar.strong else " weak"),
            ),
        ]
        end = label_width + length
        if bar.high is not None and bar.high > bar.value:
            far = label_width + room * bar.high / most
            shapes.append(element("path", d=f"M{end:.1f},{y + 8.5}H{far:.1f}m0,-4v8", class_="whisker"))
            end = far
        shapes.append(text(end + 6, y + 12, note, class_="small"))
        parts.append(group(shapes, bar.layer, f"{bar.label}: {bar.note or bar.value}"))
    described = "; ".join(f"{bar.label} {note}" for bar, note in zip(bars[:40], notes, strict=False))
    return picture(width, 14 + 20 * len(bars), title, described, parts, least=560)


def _legend(names: Sequence[str], width: int) -> tuple[list[str], int]:
    """Colors and names, in as many rows as they need, and where the chart may begin below them."""
    parts, x, y = [], float(_LEFT), 6
    for index, name in enumerate(names):
        needed = 30 + 6.6 * len(name)
        if x + needed > width and x > _LEFT:
            x, y = float(_LEFT), y + 16
        parts.append(element("rect", x=x, y=y, width=12, height=4, class_=f"fill s{index % SERIES}"))
        parts.append(text(x + 16, y + 7, name, class_="small"))
        x += needed
    return parts, y + _TOP - 6


def group(shapes: Sequence[str], layer: str | None, label: str) -> str:
    """Shapes that belong together; those of a layer can be pointed at and reached by the keyboard."""
    if layer is None:
        return element("g", "".join(shapes))
    return element(
        "g", "".join(shapes), class_="layer", data_layer=layer, tabindex=0, role="button", aria_label=label
    )


def _spread(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _described(line: Line) -> str:
    (_, first), (_, last) = line.points[0], line.points[-1]
    return f"{line.name} from {first:.4g} to {last:.4g}"


def _cut(words: str, width: int) -> str:
    most = int(width / 6.4)
    return words if len(words) <= most else f"…{words[-most + 1 :]}"
