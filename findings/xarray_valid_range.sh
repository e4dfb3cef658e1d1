#!/usr/bin/env bash
# xarray gives values that netCDF4 masks: those outside of valid_range, and those that were never written.
#
# The NetCDF conventions define valid_range, valid_min and valid_max, and a default fill value for a variable without a
# _FillValue. By default, xarray decodes _FillValue and missing_value alone.
#
# Seen with xarray 2026.9.0 and netCDF4 1.7.5.1.post1:
#   1 50 200 with valid_range 0 100   netCDF4 1 50 --   xarray 1 50 200
#   floats 1 2 and one not written    netCDF4 1 2 --    xarray 1 2 9.969e+36
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'xarray==2026.9.0' 'netcdf4==1.7.5.1.post1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import netCDF4
import numpy as np
import xarray

with netCDF4.Dataset("a.nc", "w") as file:
    file.createDimension("time", 3)
    ranged = file.createVariable("ranged", "i2", ("time",))
    ranged.valid_range = np.int16([0, 100])
    ranged[:] = np.int16([1, 50, 200])
    file.createVariable("open", "f4", ("time",))[:2] = [1, 2]

with netCDF4.Dataset("a.nc") as file:
    by_netcdf = {name: file[name][:] for name in ("ranged", "open")}
with xarray.open_dataset("a.nc") as data:
    by_xarray = {name: data[name].values for name in ("ranged", "open")}
print("netCDF4", by_netcdf, "xarray", by_xarray)
for name in ("ranged", "open"):
    assert np.ma.getmaskarray(by_netcdf[name]).tolist() == [False, False, True]
    assert np.isfinite(by_xarray[name]).all()
assert by_xarray["ranged"].tolist() == [1, 50, 200]
assert np.isclose(by_xarray["open"][2], netCDF4.default_fillvals["f4"])
PYTHON
