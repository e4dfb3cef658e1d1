#!/usr/bin/env bash
# imageio reads a color PNG of 16 bits as one of 8 bits, and a gray one of 16 bits as 16.
#
# The lower byte of each sample is gone, without a warning. Pillow, which imageio uses for PNG, has no mode of 16 bits with
# colors. The same image as TIFF keeps its bits, and so does OpenCV with the PNG.
#
# Seen with imageio 2.38.1, pillow 13.0.0 and opencv-python-headless 5.0.0.93: 3000 4000 5000 are read as 11 15 19.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'imageio==2.38.1' 'pillow==13.0.0' 'tifffile==2026.3.3' 'opencv-python-headless==5.0.0.93' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import cv2
import imageio.v3 as iio
import numpy as np
import tifffile

color = (np.arange(48).reshape(4, 4, 3) * 1000).astype(np.uint16)
cv2.imwrite("color.png", color[..., ::-1])
cv2.imwrite("gray.png", color[..., 0])
tifffile.imwrite("color.tif", color)

read = iio.imread("color.png")
print("color", color[0, 1], "read by imageio", read[0, 1], read.dtype)
assert np.array_equal(cv2.imread("color.png", cv2.IMREAD_UNCHANGED)[..., ::-1], color)
assert read.dtype == np.uint8
assert np.array_equal(read, color >> 8)
assert np.array_equal(iio.imread("gray.png"), color[..., 0])
assert np.array_equal(iio.imread("color.tif"), color)
PYTHON
