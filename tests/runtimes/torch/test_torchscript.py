"""TorchScript as a runtime."""

import threading
import warnings

import numpy as np
import pytest
import torch

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.runtimes.torch.torchscript import TorchScript

X = TensorSpec(name="x", shape=("batch", 3, 20), dtype="float32")
Y = TensorSpec(name="y", shape=("batch", 4, 16), dtype="float32")


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.ReLU()).eval()


@pytest.fixture
def file(module, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, torch.zeros(2, 3, 20))
        torch.jit.save(torch.jit.freeze(traced), tmp_path / "model.ts")
    return tmp_path / "model.ts"


def test_agrees_with_the_module_at_any_batch_and_from_any_thread(module, file):
    runtime = TorchScript(file, inputs=[X], outputs=[Y], threads=1)
    assert runtime.describe().startswith("TorchScript in torch ")
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal((batch, 3, 20)).astype("f4") for batch in (1, 2, 5, 1)]
    found = {}

    def work(number):
        found[number] = runtime.run({"x": arrays[number]})["y"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(arrays))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, x in enumerate(arrays):
        expected = module(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(found[number], expected, rtol=0, atol=1e-6)


def test_reads_what_must_not_be_written(file, recwarn):
    x = np.frombuffer(bytes(3 * 20 * 4), np.float32).reshape(1, 3, 20)
    assert TorchScript(file, inputs=[X], outputs=[Y]).run({"x": x})["y"].shape == (1, 4, 16)
    assert [str(each.message) for each in recwarn if "writ" in str(each.message)] == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_refuses_what_is_no_torchscript(tmp_path, content):
    file = tmp_path / "model.ts"
    file.write_bytes(content)
    with pytest.raises(InputError, match="TorchScript cannot load") as error:
        TorchScript(file, inputs=[X], outputs=[Y])
    assert "\n" not in str(error.value)


def test_refuses_another_number_of_outputs(file):
    runtime = TorchScript(file, inputs=[X], outputs=[Y, Y.model_copy(update={"name": "z"})])
    with pytest.raises(InputError, match="gives 1 outputs, not 2"):
        runtime.run({"x": np.zeros((1, 3, 20), np.float32)})
