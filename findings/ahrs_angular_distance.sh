#!/usr/bin/env bash
# ahrs' angular distance of rotation matrices is √2 times the angle, and not what its example shows.
#
# angular_distance is documented as the Euclidean norm of the vector of the logarithm of R1 R2ᵀ: the angle. It takes
# the norm of the skew-symmetric matrix, in which each entry of the vector stands twice. A half turn is at 4.44, above
# any angle. The distance of quaternions, qad, is the angle. The documentation's two examples show the angle, too, for
# roll, pitch and yaw in degrees. The matrices of the examples take radians, and even with these the result is larger.
#
# Seen with ahrs 0.4.0:
#   turn by 10°, 90° and 170°: 0.247, 2.221 and 4.196; must be 0.175, 1.571 and 2.967
#   the example of 90°, 90° and 90°, documented as 1.571: as it stands 1.996, in radians 2.221
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ahrs==0.4.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from ahrs import DCM
from ahrs.utils.metrics import angular_distance, chordal, qad
from scipy.spatial.transform import Rotation

for axis in ("x", "z", "xyz"):
    for degrees in (10, 90, 170):
        turn = Rotation.from_rotvec(np.radians(degrees) * np.array([each in axis for each in "xyz"]) / len(axis) ** 0.5)
        start = Rotation.from_euler("ZYX", (20, -30, 40), degrees=True)
        end = turn * start
        matrices = start.as_matrix(), end.as_matrix()
        quaternions = [each.as_quat(scalar_first=True) for each in (start, end)]
        seen = angular_distance(*matrices)
        print(axis, degrees, "angular_distance", seen, "qad", qad(*quaternions), "angle", turn.magnitude())
        assert np.isclose(seen, 2**0.5 * turn.magnitude()) and np.isclose(qad(*quaternions), turn.magnitude())
        assert np.isclose(chordal(*matrices), 8**0.5 * np.sin(turn.magnitude() / 2))

for first, second, documented in (
    ([0.0, 0.0, 0.0], [90.0, 90.0, 90.0], 1.5707963),
    ([10.0, -20.0, 30.0], [-10.0, 20.0, -30.0], 1.2822137),
):
    pairs = [[DCM(rpy=np.array(each) * unit) for each in (first, second)] for unit in (1, np.pi / 180)]
    as_it_stands, radians = (angular_distance(*pair) for pair in pairs)
    print("example", first, second, "documented", documented, "as it stands", as_it_stands, "in radians", radians)
    assert abs(as_it_stands - documented) > 0.3 and np.isclose(radians, 2**0.5 * documented)
PYTHON
