"""Sounds: WAV, FLAC, OGG, AIFF and AU, read by libsndfile (the package soundfile) as float32 between -1 and 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dashdeploy.data.arrays.lengths import HowLengths
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import refuse
from dashdeploy.data.readers.recordings.sampled_signals import Recording, Signal, stored_signals
from dashdeploy.errors import MissingCapabilityError

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".aif", ".aiff", ".au"})

_CUT_SHORT = re.compile(r"(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)")
_SIZE_OF_STREAMS = 0x7FFF_0000  # what programs that cannot go back to the header write there, or more


def stored_sounds(
    splits: Mapping[str, Sequence[Path]], lengths: HowLengths
) -> tuple[dict[str, StoredArray], tuple[str, ...]]:
    """The sounds of all splits, [n, channels, length], read when asked for, and what is to be said of them.

    Raises:
        InputError: a file cannot be decoded, is cut short, or has another number of channels.
        MissingCapabilityError: soundfile is not installed.
    """
    try:
        import soundfile  # noqa: F401
    except ImportError as error:
        raise MissingCapabilityError(
            "sounds are read by soundfile; install it with: pip install 'dashdeploy[formats]'"
        ) from error
    recordings = {name: [_recording(path) for path in paths] for name, paths in splits.items()}
    most = Counter(each.channels for each in recordings["train"]).most_common(1)[0][0]
    for name, paths in splits.items():
        for path, each in zip(paths, recordings[name], strict=True):
            if each.channels != most:
                refuse(
                    path,
                    f"it has {each.channels} channels, most training recordings {most}",
                    "give all recordings the same channels",
                )
    return stored_signals(recordings, lengths)


def _recording(path: Path) -> Recording:
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        refuse(path, f"it cannot be decoded ({error.error_string})", "write it again, or leave it out")
    for declared, there in _CUT_SHORT.findall(info.extra_info):
        if int(there) < int(declared) < _SIZE_OF_STREAMS:
            refuse(path, f"it is cut short: {there} of {declared} bytes are there", "copy it again")
    if not info.frames:
        refuse(path, "it is empty or cut short", "copy it again, or leave it out")
    return Recording(partial(_read, path, info.frames), info.channels, info.frames, info.samplerate)


def _read(path: Path, frames: int) -> Signal:
    import soundfile

    try:
        signal, _ = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        refuse(path, f"it cannot be decoded ({error.error_string})", "copy it again, or leave it out")
    if len(signal) != frames:
        refuse(path, f"it is cut short: {len(signal)} of {frames} values are there", "copy it again")
    if not np.isfinite(signal).all():
        refuse(path, "it holds values that are NaN or infinite", "correct it, or leave it out")
    return np.ascontiguousarray(signal.T)
