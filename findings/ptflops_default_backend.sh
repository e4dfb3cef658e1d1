#!/usr/bin/env bash
# ptflops' default backend is not the documented one, and a product written as @ costs nothing there.
#
# The documentation says that the default is aten. The argument's default is pytorch, which counts modules and some
# functions. torch.matmul(a, x) is among them, the operator @ for the same product is not, nor are einsum and
# functional convolutions. What is counted is the size of the first factor times the last axis of the second. Where
# the first is one matrix for a whole batch, as in a mixing of channels, the batch is left out.
#
# Seen with ptflops 0.7.5 and torch 2.13.0, a matrix of 16 x 16 times 8 matrices of 16 x 10, multiply-adds:
#   torch and the backend aten 20480    default: torch.matmul 2560, @ 0, einsum 0, conv1d 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ptflops==0.7.5' 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib
import io
from importlib.metadata import metadata

import torch
from ptflops import get_model_complexity_info
from torch import nn
from torch.nn.functional import conv1d
from torch.utils.flop_counter import FlopCounterMode

BATCH, SIZE, LENGTH = 8, 16, 10


class Mixing(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.product, self.matrix = product, nn.Parameter(torch.randn(SIZE, SIZE))

    def forward(self, x):
        return self.product(self.matrix, x)


def count(model, **backend):
    with contextlib.redirect_stdout(io.StringIO()):
        return get_model_complexity_info(
            model,
            (SIZE, LENGTH),
            input_constructor=lambda _: {"x": torch.randn(BATCH, SIZE, LENGTH)},
            as_strings=False,
            print_per_layer_stat=False,
            **backend,
        )[0]


sentence = [line for line in str(metadata("ptflops")).splitlines() if "default backend" in line]
print("documentation:", sentence)
assert any("The default backend is `aten`" in line for line in sentence)
products = {
    "matmul": (lambda a, x: torch.matmul(a, x), SIZE * SIZE * LENGTH),
    "@": (lambda a, x: a @ x, 0),
    "einsum": (lambda a, x: torch.einsum("ij,bjk->bik", a, x), 0),
    "conv1d": (lambda a, x: conv1d(x, a[:, :, None]), 0),
    "matmul of a batch": (lambda a, x: torch.matmul(a.expand(BATCH, SIZE, SIZE), x), BATCH * SIZE * SIZE * LENGTH),
}
x = torch.randn(BATCH, SIZE, LENGTH)
for name, (product, by_default) in products.items():
    model = Mixing(product)
    assert torch.allclose(model(x), model.matrix @ x, atol=1e-5)
    with FlopCounterMode(display=False) as counter:
        model(x)
    by_torch, seen, by_aten = counter.get_total_flops() // 2, count(model), count(model, backend="aten")
    print(name, "torch", by_torch, "default", seen, "aten", by_aten)
    assert by_torch == by_aten == BATCH * SIZE * SIZE * LENGTH and seen == by_default
PYTHON
