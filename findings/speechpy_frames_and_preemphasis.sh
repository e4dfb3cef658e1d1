#!/usr/bin/env bash
# speechpy leaves out the last frame that fits, and its pre-emphasis takes the last sample as the one before the first.
#
# stack_frames without zero padding counts (n - length) / step frames, without the one at the start; with zero padding, which is to
# keep all samples, it leaves the last ones out just as well. preemphasis shifts the signal by numpy.roll, so that a loud end makes a
# click at the start.
#
# Seen with speechpy 2.4, frames of 4 samples every 2:
#   20 samples, which have 9 whole frames: 8 without padding   21 samples: 9 with padding, the last one ends at sample 20
#   preemphasis of 0, 0, 0, 0, 100: -98, 0, 0, 0, 100
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'speechpy==2.4' 'numpy==1.26.4' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import speechpy.processing as processing


def frames(count, zero_padding):
    options = {"frame_length": 0.4, "frame_stride": 0.2, "filter": lambda n: np.ones((n,)), "zero_padding": zero_padding}
    return processing.stack_frames(np.arange(count, dtype=float), 10, **options)


whole, padded = frames(20, False), frames(21, True)
fitting = np.lib.stride_tricks.sliding_window_view(np.arange(20.0), 4)[::2]
print(len(whole), "of", len(fitting), "frames; with padding the last one is", padded[-1], "of 21 samples")
assert len(fitting) == 9 and np.array_equal(whole, fitting[:-1])
assert len(padded) == 9 and padded.max() == 19

emphasized = processing.preemphasis(np.array([0.0, 0, 0, 0, 100]), shift=1, cof=0.98)
print("preemphasis", emphasized)
assert np.allclose(emphasized, [-98, 0, 0, 0, 100])
PYTHON
