#!/usr/bin/env bash
# tsfel's ECDF feature is 1/n, 2/n, ... 10/n for every signal of n samples: it never reads the values.
#
# The documentation promises values of the empirical cumulative distribution function along the time axis, the share of samples that
# are no larger than each. It returns the first ten steps of the sorted signal, where the steps of n samples are always k / n, so that
# ten columns of the default configuration hold one constant each. Repeated values do not count together either. The count of samples
# below a percentile is of the same kind, and of a constant signal it is the constant itself.
#
# Seen with tsfel 0.2.0, 1000 samples:
#   noise, a ramp and 900 zeros before 100 ones: all 0.001 0.002 ... 0.010, where the last must give 0.9 for a zero
#   ecdf_percentile_count of the constant 7.5: 7.5 7.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tsfel==0.2.0' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==3.1.1' 'setuptools==80.9.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import tsfel

LENGTH = 1000
signals = {
    "noise": np.random.default_rng(0).standard_normal(LENGTH),
    "ramp": np.arange(LENGTH, 0.0, -1),
    "zeros and ones": np.repeat([0.0, 1.0], [900, 100]),
}
assert tsfel.get_features_by_domain("statistical")["statistical"]["ECDF"]["use"] == "yes"
for name, x in signals.items():
    seen = np.array(tsfel.ecdf(x))
    expected = np.array([(x <= value).mean() for value in x[:10]])
    print(name, seen, "share of samples no larger", expected)
    assert np.allclose(seen, np.arange(1, 11) / LENGTH)
    assert not np.isclose(seen, expected).any()
assert np.allclose(expected, 0.9)

count = tsfel.ecdf_percentile_count(np.full(LENGTH, 7.5))
print("count of samples of a constant signal", count)
assert tuple(count) == (7.5, 7.5)
PYTHON
