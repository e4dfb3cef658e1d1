"""Programs of torch on the CPU, and on a GPU where there is one."""

import numpy as np
import pytest
import torch

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.torch.model import save_pt2
from dashdeploy.runtimes.torch.device import check_precision, require_cuda, tf32
from dashdeploy.runtimes.torch.program import TorchProgram, load_program

SPECS = [TensorSpec(name=name, shape=("batch", n, 8), dtype="float32") for name, n in (("x", 2), ("y", 3))]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3, padding=1), torch.nn.BatchNorm1d(3)).eval()


@pytest.fixture
def program(tmp_path, network):
    save_pt2(network, torch.zeros(2, 2, 8), tmp_path / "model.pt2")
    x = np.random.default_rng(0).standard_normal((4, 2, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    return (tmp_path / "model.pt2", SPECS[:1], SPECS[1:]), x, expected


def test_torch_runs_a_program_where_it_is_told(program):
    words, x, expected = program
    runtime = load_program(*words, threads=1)
    np.testing.assert_allclose(runtime.run({"x": x})["y"], expected, rtol=0, atol=1e-6)
    assert "CPU, 1 thread" in runtime.describe()
    assert not hasattr(runtime, "inside_nanoseconds")  # the wall clock tells on a CPU
    # Torch's device without storage stands for a GPU: every weight and statistic of the network goes there.
    moved = load_program(*words, threads=1, device="meta")
    assert {tensor.device.type for tensor in moved._module.state_dict().values()} == {"meta"}


@pytest.mark.parametrize(("precision", "error"), [("fp16", 2e-3), ("bf16", 2e-2)])
def test_half_precision_takes_and_gives_float32(program, precision, error):
    words, x, expected = program
    found = load_program(*words, threads=1, precision=precision).run({"x": x})["y"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() <= error * np.abs(expected).max()


def test_what_the_device_does_not_have_is_refused(network):
    with pytest.raises(InputError, match="`precision=tf32` is of GPUs"):
        TorchProgram(network, SPECS[:1], SPECS[1:], precision="tf32")
    with pytest.raises(
        InputError, match="`precision=int4`: no such precision; choose from fp32, tf32, fp16, bf16"
    ):
        TorchProgram(network, SPECS[:1], SPECS[1:], precision="int4")
    with pytest.raises(InputError, match="CUDA graphs are of GPUs"):
        TorchProgram(network, SPECS[:1], SPECS[1:], graph=True)
    assert check_precision("tf32", "cuda") == "tf32"
    two = [*SPECS[1:], SPECS[1].model_copy(update={"name": "z"})]
    with pytest.raises(InputError, match="the module gives 1 outputs, not 2"):
        TorchProgram(network, SPECS[:1], two).run({"x": np.zeros((1, 2, 8), np.float32)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_here_is_refused(program):
    words, _, _ = program
    with pytest.raises(MissingCapabilityError, match=r"^torch .* pip install torch$"):
        load_program(*words, device="cuda")
    with pytest.raises(MissingCapabilityError):
        require_cuda()


def test_tf32_is_what_it_was_afterwards():
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for allowed in (True, False):
        with tf32(allowed=allowed):
            assert [flag.allow_tf32 for flag in flags] == [allowed, allowed]
            with pytest.raises(ZeroDivisionError), tf32(allowed=not allowed):
                raise ZeroDivisionError
            assert [flag.allow_tf32 for flag in flags] == [allowed, allowed]
    assert [flag.allow_tf32 for flag in flags] == before


def on_a_gpu(program, **how):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    words, x, expected = program
    try:
        runtime = load_program(*words, threads=1, device="cuda", **how)
    except MissingCapabilityError as error:  # no C++ compiler
        pytest.skip(str(error))
    for factor in (1, -2):  # the second call of a graph has other numbers
        yield runtime.run({"x": factor * x})["y"], runtime, factor, expected


@pytest.mark.gpu
@pytest.mark.parametrize(
    "how", [{}, {"graph": True}, {"compile_it": True}], ids=["eager", "graph", "compile"]
)
def test_torch_on_a_gpu_agrees(program, network, how):
    if "compile_it" in how:
        pytest.importorskip("triton")
    _, x, _ = program
    for found, runtime, factor, _ in on_a_gpu(program, **how):
        with torch.inference_mode():
            expected = network(torch.from_numpy(factor * x)).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert torch.cuda.get_device_name() in runtime.describe()
        assert runtime.inside_nanoseconds > 0


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "error"), [("tf32", 2e-3), ("fp16", 2e-3), ("bf16", 2e-2)])
def test_precisions_on_a_gpu(program, precision, error):
    found, _, _, expected = next(on_a_gpu(program, precision=precision))
    assert np.abs(found - expected).max() <= error * np.abs(expected).max()
