"""A published model with a state, silero-vad: exported, served, and compared with its own steps by hand."""

import subprocess
import sys
from zipfile import ZipFile

import numpy as np
import onnxruntime
import pytest

from dashdeploy.export.api import compile as compile_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silero")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        folder,
        "silero-vad==6.2.3",
    ]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extract("silero_vad/data/silero_vad_16k_op15.onnx", folder)
    return folder / "silero_vad" / "data" / "silero_vad_16k_op15.onnx"


def test_a_stream_of_sound_is_heard_piece_by_piece(tmp_path, original, start_server, models):
    bundle = compile_model(original, out=tmp_path / "vad", states="auto", lowering="direct", tune="estimate")
    assert bundle.manifest.states == {"state": "stateN"}
    session = onnxruntime.InferenceSession(original, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    # Noise that swells, in pieces of 512 samples after the 64 that came before, as the package feeds them.
    sound = (generator.standard_normal(512 * 40) * np.linspace(0.01, 1, 512 * 40)).astype(np.float32)
    pieces = [
        np.concatenate([np.zeros(64, np.float32), sound])[None, start : start + 576]
        for start in range(0, len(sound), 512)
    ]
    rate, state, expected = np.array(16000, np.int64), np.zeros((2, 1, 128), np.float32), []
    for piece in pieces:
        feeds = {"input": piece, "state": state}
        if any(each.name == "sr" for each in session.get_inputs()):
            feeds["sr"] = rate
        speech, state = session.run(["output", "stateN"], feeds)
        expected.append(float(speech[0, 0]))
    assert np.ptp(expected) > 0.01, "the state and the sound change nothing"
    with start_server([bundle.path]) as running:
        for kind in models.clients:
            client = models.clients[kind](running)
            found = []
            for number, piece in enumerate(pieces):
                sent = {"input": piece} | ({"sr": rate} if "sr" in feeds else {})
                flags = {"sequence_start": number == 0, "sequence_end": number == len(pieces) - 1}
                outputs, _ = client.ask("vad", sent, sequence_id=f"by {kind}", **flags)
                assert list(outputs) == ["output"]
                found.append(float(outputs["output"][0, 0]))
            client.close()
            # Batch norms may be folded, which rounds otherwise.
            np.testing.assert_allclose(found, expected, atol=1e-4)
