#!/usr/bin/env bash
# SciPy's ARFF reader takes the quote character from the first row of data alone, so the order of rows decides what it reads.
#
# Weka and liac-arff quote the names of classes that hold a space, and no others. Where such a class comes in the first
# row, the file is read; where it comes later, the same file with its rows swapped is refused, with a message in which
# the value is among those that it is said not to be.
#
# Seen with SciPy 1.17.1: rows "1,'o x'" and "2,d" are read; "2,d" and "1,'o x'" give
# ValueError: 'o x' value not in ('o x', 'd').
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'scipy==1.17.1' 'liac-arff==2.5.0'
"$folder/venv/bin/python" - <<'PYTHON'
import io

import arff
from scipy.io.arff import loadarff

attributes = [("a", "REAL"), ("c", ["o x", "d"])]
found = []
for rows in ([[1.0, "o x"], [2.0, "d"]], [[2.0, "d"], [1.0, "o x"]]):
    text = arff.dumps({"relation": "r", "attributes": attributes, "data": rows})
    assert arff.loads(text)["data"] == rows
    try:
        found.append([(a, c.decode()) for a, c in loadarff(io.StringIO(text))[0].tolist()])
    except ValueError as error:
        found.append(str(error))
    print(rows, "->", found[-1])
assert found == [[(1.0, "o x"), (2.0, "d")], "'o x' value not in ('o x', 'd')"]
PYTHON
