#!/usr/bin/env bash
# scikit-kinematics gives another yaw for turns beyond 90°, and another Euler angle for all but ±90°.
#
# quat2seq gets the first and third angle of Rz Ry Rx from an arc sine, which does not tell 120° from 60°. Only the
# second angle is between -90° and 90° by its nature. A sensor on its way round reads up to 90° and back down. So do
# the first and third Helmholtz angle. The first Euler angle, of Rz Rx Rz, lacks a sign: it is 180° minus the angle.
# Quaternion with angles as input writes 360° more into the caller's array where an angle is negative.
#
# Seen with scikit-kinematics 0.10.4:
#   yaw, pitch and roll 120° 20° 10° become 60° 20° 10°, and -150° 0° 0° become -30° 0° 0°
#   Euler angles 30° 20° 10° become 150° 20° 10°
#   Quaternion of the array -10 20 30 leaves 350 20 30 in it
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-kinematics==0.10.4' 'sympy==1.14.0' 'pygame==2.6.1' 'matplotlib==3.11.2' 'pandas==2.3.3' 'numpy==2.4.6' \
    'scipy==1.17.1'
cd "$folder"
PYGAME_HIDE_SUPPORT_PROMPT=1 MPLBACKEND=agg venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.spatial.transform import Rotation
from skinematics import quat


def back(angles, ours, theirs):
    turn = Rotation.from_euler(ours, angles, degrees=True)
    seen = quat.quat2seq(turn.as_quat(scalar_first=True), theirs)[0]
    print(theirs, *angles, "become", seen.round(6), "by scipy", turn.as_euler(ours, degrees=True).round(6))
    return seen


for angles, expected in (
    ((30, 20, 10), (30, 20, 10)),
    ((120, 20, 10), (60, 20, 10)),
    ((30, 20, 100), (30, 20, 80)),
    ((-150, 0, 0), (-30, 0, 0)),
):
    assert np.allclose(back(angles, "ZYX", "nautical"), expected)
assert np.allclose(back((120, 20, 10), "YZX", "Helmholtz"), (60, 20, 10))
yaw = np.arange(0, 181, 30)
walk = [back((each, 0, 0), "ZYX", "nautical")[0] for each in yaw]
assert np.allclose(walk, np.minimum(yaw, 180 - yaw))

assert np.allclose(back((30, 20, 10), "ZXZ", "Euler"), (150, 20, 10))
assert np.allclose(back((90, 20, -90), "ZXZ", "Euler"), (90, 20, -90))

angles = np.array([[-10.0, 20.0, 30.0]])
quat.Quaternion(angles, "Fick")
print("angles after Quaternion", angles)
assert np.array_equal(angles, [[350, 20, 30]])
PYTHON
