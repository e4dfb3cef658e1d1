#!/usr/bin/env bash
# aeon writes the class list of a .ts file from the labels of that file alone, so the two files of one data set disagree.
#
# A test split often lacks a class. Its file then lists fewer classes than the training file, and a reader that numbers
# classes by each file's own list gives one label two numbers.
#
# Seen with aeon 1.6.0: labels a, b, c to train and a, c to test give "@classLabel true a b c" and
# "@classLabel true a c": c is the third class in one file and the second in the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'aeon==1.6.0'
mkdir "$folder/data" && cd "$folder/data"
"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
from aeon.datasets import save_to_ts_file

X = np.arange(24.0).reshape(4, 1, 6)
for split, labels in (("TRAIN", "abca"), ("TEST", "acac")):
    save_to_ts_file(X, y=np.array(list(labels)), label_type="classification", path=".", problem_name=f"P_{split}")
found = {}
for path in sorted(Path().glob("*.ts")):
    (line,) = (line for line in path.read_text().splitlines() if line.lower().startswith("@classlabel"))
    print(path, line)
    found[path.stem] = line.split()[2:]
assert found == {"P_TRAIN": ["a", "b", "c"], "P_TEST": ["a", "c"]}
PYTHON
