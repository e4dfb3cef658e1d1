"""An exported ensemble, served: scores whose softmax are the mean probabilities, and classes by their labels."""

import numpy as np
import torch
import tritonclient.http as triton
from scipy.special import softmax

from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from tests.export.conftest import write_ensemble


def test_answers_are_those_of_the_mean(tmp_path, monkeypatch, start_server):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "cache"))
    networks, samples = write_ensemble(tmp_path / "run", 3)
    export(tmp_path / "run", tmp_path / "waves", ExportSettings(lowering="fft", tune="estimate"))
    with torch.inference_mode():
        members = [softmax(network(torch.from_numpy(samples)).numpy(), axis=1) for network in networks]
    expected = np.mean(members, axis=0)
    assert np.abs(members[0] - expected).max() > 0.05
    with start_server([tmp_path / "waves"]) as running, triton.InferenceServerClient(running.http) as client:
        tensor = triton.InferInput("input", samples.shape, "FP32").set_data_from_numpy(samples)
        logits = client.infer("waves", [tensor]).as_numpy("logits")
        np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=1e-5)
        top = client.infer("waves", [tensor], outputs=[triton.InferRequestedOutput("logits", class_count=1)])
        labels = [each.decode().rpartition(":")[2] for each in top.as_numpy("logits").ravel()]
        assert labels == [("low", "mid", "high")[best] for best in expected.argmax(1)]
