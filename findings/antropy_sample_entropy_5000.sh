#!/usr/bin/env bash
# antropy's sample entropy of integers changes by a factor at 5000 samples: below, a distance equal to the tolerance is no match.
#
# antropy counts with one method up to 4999 samples and with another from 5000 on. The first takes distances below the
# tolerance, the second also those equal to it, although the documentation expects equivalent results. Integers, such as
# samples of an ADC or RR intervals, often differ by just a whole tolerance. Continuous noise shows no difference.
#
# Seen with antropy 0.2.3, uniform integers 0 to 4, order 2, tolerance 1:
#   4999 samples 1.61   5000 samples 0.66   a count of equal distances as matches 0.66, as none 1.61
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'antropy==0.2.3' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import antropy
import numpy as np

ORDER, TOLERANCE = 2, 1.0


def sample_entropy(x, matches):
    """Minus the log of matching pairs of ORDER + 1 samples over those of ORDER, of as many templates each."""

    def pairs(length):
        templates = np.lib.stride_tricks.sliding_window_view(x, length)[: len(x) - ORDER]
        return sum(
            int(matches(np.abs(templates[first + 1 :] - templates[first]).max(axis=1), TOLERANCE).sum())
            for first in range(len(templates) - 1)
        )

    return -np.log(pairs(ORDER + 1) / pairs(ORDER))


x = np.random.default_rng(0).integers(0, 5, 5000).astype(float)
with_equal, without = sample_entropy(x, np.less_equal), sample_entropy(x, np.less)
short = antropy.sample_entropy(x[:4999], order=ORDER, tolerance=TOLERANCE)
long = antropy.sample_entropy(x, order=ORDER, tolerance=TOLERANCE)
print("4999 samples", short, "5000 samples", long, "equal distances match", with_equal, "do not", without)
assert np.isclose(long, with_equal, atol=0.01)
assert np.isclose(short, without, atol=0.01)
assert without > 2 * with_equal

noise = np.random.default_rng(0).standard_normal(5000)
parts = [antropy.sample_entropy(noise[:length], order=ORDER, tolerance=0.2) for length in (4999, 5000)]
print("noise", parts)
assert np.isclose(*parts, atol=0.01)
PYTHON
