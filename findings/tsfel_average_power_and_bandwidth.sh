#!/usr/bin/env bash
# tsfel's average power of a sine grows with the sampling rate, and its 95 % power bandwidth holds 90 % of the power.
#
# Average power is the integral of the squares over the duration. The sum of the squares is divided by the duration in seconds, without
# the seconds of a sample, so the result is the mean square times the rate. The bandwidth is said to hold 95 % of the power, but
# it reaches from the frequency with 95 % of it above to that with 95 % of it below, which leaves 5 % outside on either side.
#
# Seen with tsfel 0.2.0:
#   sine of amplitude 1, the same ten seconds: average power 50 at 100 Hz, 500 at 1000 Hz; mean square 0.5
#   100000 samples of white noise at 100 Hz: bandwidth 45.0 Hz of 50, with 90.0 % of the power
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

for rate in (100, 1000):
    t = np.arange(10 * rate) / rate
    x = np.sin(2 * np.pi * 5 * t)
    integral = np.trapezoid(x**2, t) / (t[-1] - t[0])
    seen = tsfel.average_power(x, rate)
    print(rate, "Hz: average power", seen, "integral over the duration", integral, "mean square", (x**2).mean())
    assert np.isclose(integral, 0.5, atol=0.001) and np.isclose((x**2).mean(), 0.5)
    assert np.isclose(seen, 0.5 * rate, rtol=0.002)

RATE = 100
noise = np.random.default_rng(0).standard_normal(100_000)
bandwidth = tsfel.power_bandwidth(noise, RATE)
power = np.abs(np.fft.rfft(noise - noise.mean())) ** 2
share = np.cumsum(power) / power.sum()
low, high = (np.fft.rfftfreq(len(noise), 1 / RATE)[np.searchsorted(share, part)] for part in (0.05, 0.95))
print("bandwidth", bandwidth, "Hz; 90 % lie between", low, "and", high, "Hz; 95 % of a flat spectrum take", 0.95 * RATE / 2, "Hz")
assert np.isclose(bandwidth, high - low, atol=0.3)
assert np.isclose(bandwidth, 0.90 * RATE / 2, atol=0.3)
PYTHON
