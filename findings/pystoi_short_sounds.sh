#!/usr/bin/env bash
# pystoi gives 1e-5, the figure of what nobody understands, for a sound of 0.3 s that is compared with itself.
#
# The measure looks at pieces of 30 frames (384 ms). A sound that has fewer, once silent frames are left out, has a warning and
# the figure 1e-5, which a mean over many short words or commands takes in as if they were unintelligible.
#
# Seen with pystoi 0.4.1, white noise at 10 kHz against itself: 0.3 s 1e-5, 0.5 s 1.0, and 0.5 s of which all but 0.2 s is silent 1e-5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pystoi==0.4.1' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from pystoi import stoi

noise = np.random.default_rng(0).standard_normal(5000)
word = np.where(np.arange(5000) < 2000, noise, 1e-6 * noise)
figures = {}
for name, sound in (("0.3 s", noise[:3000]), ("0.5 s", noise), ("0.2 of 0.5 s", word)):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figures[name] = stoi(sound, sound, 10_000)
    print(name, "against itself:", figures[name], "warnings:", len(said))
    assert len(said) == (name != "0.5 s")
assert figures["0.3 s"] == figures["0.2 of 0.5 s"] == 1e-5
assert np.isclose(figures["0.5 s"], 1)
PYTHON
