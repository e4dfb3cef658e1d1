#!/usr/bin/env bash
# wfdb.rdann ignores sampfrom unless sampto is given as well.
#
# Whoever reads the rest of a recording from sample 150 on gets the annotations before it, too, and their labels with them.
#
# Seen with wfdb 4.3.1, annotations at 10, 200 and 300:
#   sampfrom=150              10 200 300
#   sampfrom=150, sampto=400  200 300
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'wfdb==4.3.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import wfdb

wfdb.wrann("beats", "atr", np.array([10, 200, 300]), symbol=["N", "V", "N"], fs=100)
open_end = wfdb.rdann("beats", "atr", sampfrom=150).sample.tolist()
both_ends = wfdb.rdann("beats", "atr", sampfrom=150, sampto=400).sample.tolist()
print("sampfrom=150:", open_end, "with sampto=400:", both_ends)
assert open_end == [10, 200, 300]
assert both_ends == [200, 300]
PYTHON
