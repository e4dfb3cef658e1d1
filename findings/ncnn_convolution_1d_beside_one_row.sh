#!/usr/bin/env bash
# ncnn's Convolution1D takes more than twice the time of the same layer as a Convolution of a plane with one row.
#
# 128 channels, 1000 positions, 15 taps, float32, one thread. Both layers get the same weights and give the same numbers. pnnx
# writes Convolution1D for torch's Conv1d, so that a network of 1-D convolutions runs at half its speed on x86.
#
# Seen with ncnn 1.0.20261020 on a busy EPYC with AVX2: 14.8 ms and 6.0 to 7.5 ms of the processor, the least of 15 calls each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ncnn==1.0.20261020' 'numpy==2.4.6'
cd "$folder"
OMP_NUM_THREADS=1 venv/bin/python - <<'PYTHON'
import time

import ncnn
import numpy as np

CHANNELS, LENGTH, TAPS = 128, 1000, 15
generator = np.random.default_rng(0)
weight = generator.standard_normal((CHANNELS, CHANNELS, TAPS)).astype("f4")
x = generator.standard_normal((CHANNELS, LENGTH)).astype("f4")
# ncnn stores a tag before the weights; 0 says that they are in float32. No bias.
weights = np.concatenate([np.zeros(1, "f4"), weight.reshape(-1)])


def loaded(name, size, layer):
    with open(f"{name}.param", "w") as file:
        file.write(f"7767517\n2 2\nInput x 0 1 x {size}\n{layer} 0={CHANNELS} 6={weight.size}\n")
    weights.tofile(f"{name}.bin")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = net.opt.use_vulkan_compute = False
    assert net.load_param(f"{name}.param") == 0 and net.load_model(f"{name}.bin") == 0
    return net


def run(net, array):
    extractor = net.create_extractor()
    extractor.input("x", array)
    status, output = extractor.extract("y")
    assert status == 0
    return np.array(output).reshape(CHANNELS, LENGTH)


nets = {
    "Convolution1D": (
        loaded("line", f"0={LENGTH} 1={CHANNELS}", f"Convolution1D y 1 1 x y 1={TAPS} 4={TAPS // 2}"),
        ncnn.Mat(x),
    ),
    "Convolution": (
        loaded("row", f"0={LENGTH} 1=1 2={CHANNELS}", f"Convolution y 1 1 x y 1={TAPS} 11=1 4={TAPS // 2} 14=0"),
        ncnn.Mat(x[:, None]),
    ),
}
outputs = {name: run(*net) for name, net in nets.items()}
seconds = {name: [] for name in nets}
for _ in range(15):
    for name, net in nets.items():
        start = time.process_time()
        run(*net)
        seconds[name].append(time.process_time() - start)
least = {name: min(times) for name, times in seconds.items()}
print({name: f"{1e3 * time:.1f} ms" for name, time in least.items()})
assert np.allclose(outputs["Convolution1D"], outputs["Convolution"], rtol=0, atol=1e-3)
assert least["Convolution1D"] > 1.5 * least["Convolution"]
PYTHON
