#!/usr/bin/env bash
# sewar's universal image quality index takes means for sums, and rates a negative at 0.48 and a gray area at 0.85.
#
# The index multiplies correlation, closeness of means and closeness of contrasts in windows of 8 by 8. With sums the
# covariance is N Σxy - Σx Σy. uqi fills the sums of that form with means, so that N = 64 times the mean of the products
# stands beside one product of the means. The means outweigh the rest, and images with nothing in common but their
# brightness are alike. Equal images are at 1, where a test looks first. The Q2n index of the same package, which is
# to generalize it, is near the definition.
#
# Seen with sewar 0.4.10, 64 by 64 random gray values, from -1 to 1:
#   against its negative 0.48, by the definition -0.99    against itself shuffled 0.73, -0.03    gray 0.85, 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'sewar==0.4.10' 'pillow==13.0.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sewar import q2n, uqi

SIZE, WINDOW = 64, 8
draw = np.random.default_rng(0)
image = draw.integers(0, 256, (SIZE, SIZE)).astype(float)


def index(x, y):
    x, y = (np.lib.stride_tricks.sliding_window_view(each, (WINDOW, WINDOW)) for each in (x, y))
    mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
    covariance = (x * y).mean((2, 3)) - mean_x * mean_y
    return np.mean(4 * covariance * mean_x * mean_y / ((x.var((2, 3)) + y.var((2, 3))) * (mean_x**2 + mean_y**2)))


for name, other, lowest, limits in (
    ("itself", image, 0.999, (0.999, 1.001)),
    ("negative", 255 - image, 0.4, (-1, -0.98)),
    ("shuffled", draw.permutation(image.ravel()).reshape(SIZE, SIZE), 0.7, (-0.1, 0.1)),
    ("gray", np.full((SIZE, SIZE), 127.5), 0.8, (-0.001, 0.001)),
):
    seen, expected = uqi(image, other), index(image, other)
    print(name, "uqi", seen, "by the definition", expected, "q2n, without a sign", q2n(image, other, ws=WINDOW))
    assert seen > lowest and limits[0] <= expected <= limits[1]
    assert np.isclose(q2n(image, other, ws=WINDOW), abs(expected), atol=0.12)
PYTHON
