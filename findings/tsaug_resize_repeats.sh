#!/usr/bin/env bash
# tsaug's Resize forgets its repeats where the series have that length already, and gives twice as many series of half the length.
#
# `Resize(size) * 2` must give two series of that size for each one. Where nothing is to be resized, it returns the series once.
# What follows lays these values out as twice as many rows, so that each series of the output is a piece of one of the input. Three axes
# are returned without the repeats, so that labels repeated beside them no longer fit.
#
# Seen with tsaug 0.2.1, three series of 4 samples:
#   Resize(5) * 2   6 x 5
#   Resize(4) * 2   6 x 2: the first 0 1, the second 2 3, and so on; with an axis of channels 3 x 4 x 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tsaug==0.2.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import tsaug

X = np.arange(12.0).reshape(3, 4)
longer = (tsaug.Resize(5) * 2).augment(X)
same = (tsaug.Resize(4) * 2).augment(X)
channels = (tsaug.Resize(4) * 2).augment(X[:, :, None])
print("Resize(5) * 2", longer.shape, "Resize(4) * 2", same.shape, same.tolist(), "with channels", channels.shape)
assert longer.shape == (6, 5)
assert same.tolist() == X.reshape(6, 2).tolist()
assert channels.shape == (3, 4, 1)
# Another augmenter repeats whole series, of the same length.
assert (tsaug.Reverse() * 2).augment(X).shape == (6, 4)
PYTHON
