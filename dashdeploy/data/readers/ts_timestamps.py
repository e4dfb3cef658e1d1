"""Time stamps in ``.ts`` files: every value is ``(stamp,value)``, and series come to an even grid.

The format is that of sktime's and the archive's loaders: with ``@timeStamps true`` a line holds, between colons, its
channels as ``(stamp,value),(stamp,value)``, then the class. Stamps are numbers or dates (ISO 8601), and channels may
have stamps of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import refuse

_BETWEEN_FIELDS = re.compile(r":(?![^()]*\))")
_PAIR = re.compile(r"\s*\(([^()]*),([^(),]*)\)\s*(?:,|$)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_STEPS_PER_VALUE = 100
"""A series whose grid has more is not irregular but torn."""

Numbers = npt.NDArray[np.float64]


class StampedChannel(NamedTuple):
    """One channel as it was observed.

    Attributes:
        times: rising; whole numbers, floats, or microseconds since 1970 if they are dates.
        values: as many; NaN where one is missing.
        dates: whether the stamps are dates.
    """

    times: Sequence[int | float]
    values: Numbers
    dates: bool


class Grid(NamedTuple):
    """The even grid of a data set.

    Attributes:
        step: between two values; in microseconds for dates.
        dates: whether stamps are dates.
    """

    step: float
    dates: bool

    def words(self) -> str:
        """The step, as notes write it."""
        return f"{self.step / 1e6:g} seconds" if self.dates else f"{self.step:g}"


def stamped_case(path: Path, number: int, text: str, may_miss: bool) -> tuple[list[StampedChannel], str]:
    """One line: its channels, and what stands behind its last colon.

    Raises:
        InputError: it is not in the form; the message names the line, the channel and the fix.
    """
    *channels, label = _BETWEEN_FIELDS.split(text)
    if not channels:
        refuse(path, f"line {number} has no colon", "end every series with a colon and its class")
    return [
        _channel(path, number, index, each, may_miss) for index, each in enumerate(channels)
    ], label.strip()


def _channel(path: Path, number: int, channel: int, text: str, may_miss: bool) -> StampedChannel:
    place = f"line {number}, channel {channel + 1}"
    times: list[int | float] = []
    values: list[float] = []
    kinds: set[bool] = set()
    at = 0
    while at < len(text) or not times:
        pair = _PAIR.match(text, at)
        if pair is None:
            wrong = text[at : at + 20].strip() or "nothing"
            refuse(path, f"{place}: {wrong} is not a pair of a time stamp and a value", "write (stamp,value)")
        at = pair.end()
        stamp, value = pair[1].strip(), pair[2].strip()
        time, is_date = _time(path, place, stamp)
        if times and time <= times[-1]:
            refuse(
                path,
                f"{place}: the time stamp {stamp} is not later than the one before",
                "sort and merge them",
            )
        kinds.add(is_date)
        times.append(time)
        values.append(_value(path, place, value, may_miss))
    if len(kinds) > 1:
        refuse(path, f"{place}: some time stamps are dates and some are numbers", "use one kind")
    return StampedChannel(times, np.array(values), kinds.pop())


def _time(path: Path, place: str, stamp: str) -> tuple[int | float, bool]:
    """A stamp as a number, and whether it is a date; whole numbers stay exact, however large."""
    for kind in (int, float):
        try:
            time = kind(stamp)
        except ValueError:
            continue
        if not np.isfinite(float(time)):
            break
        return time, False
    try:
        date = datetime.fromisoformat(stamp)
    except ValueError:
        refuse(
            path,
            f"{place}: the time stamp {stamp[:30]!r} is neither a number nor a date",
            "write dates as 2024-01-31 23:59:59",
        )
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds, True


def _value(path: Path, place: str, text: str, may_miss: bool) -> float:
    try:
        value = float("nan") if text == "?" else float(text)
    except ValueError:
        refuse(path, f"{place}: a value ({text[:20]}) is not a number", "correct it, or drop the series")
    if np.isinf(value):
        refuse(path, f"{place}: a value is infinite", "correct it, or write ? for a value that is missing")
    if np.isnan(value) and not may_miss:
        refuse(path, f"{place}: a value is missing", "fill it in, or use `missing=interpolate`")
    return value


def grid_of(path: Path, cases: Sequence[Sequence[StampedChannel]]) -> Grid:
    """The grid of training series: the median of all their steps.

    Raises:
        InputError: some have dates and some numbers, or none has two values.
    """
    kinds = {channel.dates for case in cases for channel in case}
    if len(kinds) > 1:
        refuse(path, "some time stamps are dates and some are numbers", "use one kind")
    steps = [np.diff(_relative(channel.times, channel.times[0])) for case in cases for channel in case]
    every = np.concatenate(steps)
    if not every.size:
        refuse(path, "no series has two time stamps", "give every series several values")
    return Grid(float(np.median(every)), kinds.pop())


def on_grid(
    path: Path, number: int, case: Sequence[StampedChannel], grid: Grid, *, through_gaps: bool
) -> Numbers:
    """A series on the grid, from its first to its last stamp: linear between values, constant beyond channels' ends.

    Args:
        path: the file, for messages.
        number: of the line, for messages.
        case: the channels.
        grid: of the training series.
        through_gaps: whether lines are drawn through missing values; else what borders on one is missing, too.

    Returns:
        [channels, length]; NaN where nothing is known.

    Raises:
        InputError: its stamps are of the other kind, or far apart.
    """
    if any(channel.dates != grid.dates for channel in case):
        refuse(path, f"line {number}: some time stamps are dates and some are numbers", "use one kind")
    start = min(channel.times[0] for channel in case)
    relative = [_relative(channel.times, start) for channel in case]
    last = max(times[-1] for times in relative)
    length = int(last / grid.step + 1e-6) + 1  # a last stamp that rounding puts a little too early counts
    most = max(len(times) for times in relative)
    if length > _MOST_STEPS_PER_VALUE * most:
        refuse(
            path,
            f"line {number}: {most} values span {length} steps of {grid.words()}, the median of the training series",
            "cut the series at its gaps",
        )
    at = grid.step * np.arange(length)
    rows = []
    for times, channel in zip(relative, case, strict=True):
        known = ~np.isnan(channel.values) if through_gaps else np.ones(len(times), bool)
        found = np.interp(at, times[known], channel.values[known]) if known.any() else np.full(length, np.nan)
        rows.append(found)
    return np.stack(rows)


def _relative(times: Sequence[int | float], start: int | float) -> Numbers:
    """Times since `start`: whole numbers are subtracted before they become floats, so that large ones stay exact."""
    return np.array([float(time - start) for time in times])
