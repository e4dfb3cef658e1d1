"""PSICOV, Cosmic and FSD50K of NAS-Bench-360, on small files of the benchmark's layout."""

import csv
import json
import pickle
import wave

import numpy as np
import pytest
import torch

from dashdeploy.data.catalog import load_task
from dashdeploy.data.nasbench360.audio import read_wav
from dashdeploy.data.nasbench360.benchmark_metrics import ClipMAP, ContactMAE, SeenAUROC
from dashdeploy.data.nasbench360.cosmic import IGNORED
from dashdeploy.data.nasbench360.log_mel import log_mel
from dashdeploy.data.nasbench360.protein import ROW
from dashdeploy.errors import InputError

RANDOM = np.random.default_rng(0)
LENGTHS = {"deepcov": {"1ABC_A": 40, "2DEF_B": 130, "3GHI_C": 30}, "psicov": {"1a3aA": 150}}


def protein_files(folder):
    for part, lengths in LENGTHS.items():
        for kind in ("features", "distance"):
            (folder / "protein" / part / kind).mkdir(parents=True)
        (folder / "protein" / f"{part}.lst").write_text(
            "".join(f"{name} {n}\n" for name, n in lengths.items())
        )
        for name, n in lengths.items():
            features = {
                "seq": "A" * n,
                "ss": RANDOM.random((3, n)),
                "pssm": RANDOM.random((n, 22)),
                "sa": RANDOM.random(n),
                "entropy": RANDOM.random(n),
                **{each: RANDOM.random((n, n)) for each in ("ccmpred", "freecon", "potential")},
            }
            (folder / "protein" / part / "features" / f"{name}.pkl").write_bytes(pickle.dumps(features))
            points = np.cumsum(RANDOM.standard_normal((n, 3)), 0) * 2
            content = np.empty(3, dtype=object)
            content[:] = [n, "A" * n, np.linalg.norm(points[:, None] - points, axis=-1)]
            np.save(folder / "protein" / part / "distance" / f"{name}-cb.npy", content)


def cosmic_files(folder):
    for part, fields in (("npy_train", ("10342_3", "10595_2", "9490_a3")), ("npy_test", ("14343_1",))):
        for field in fields:  # 10595_2 is a star cluster
            place = folder / part / "f435w" / field.split("_")[0] / field.split("_")[1]
            place.mkdir(parents=True)
            np.save(place / "sky.npy", np.ones(4))
            for number in range(6):
                rays = RANDOM.random((2, 256, 256)) < 0.02
                image = RANDOM.random((256, 256)) + 5 * rays[0]
                np.save(place / f"1_{number}.npy", np.stack([image, *rays]).astype(np.float32))


def audio_files(folder):
    chunks = folder / "chunks"
    (chunks / "wavs").mkdir(parents=True)
    names = [f"Sound_{i}" for i in range(5)]
    (chunks / "lbl_map.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    for part, clips in (("tr", 6), ("val", 3), ("eval", 4)):
        with (chunks / f"{part}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["", "files", "labels", "ext"])
            for clip in range(clips):
                for chunk in range(1 + clip % 3):
                    path = chunks / "wavs" / f"{part}_{clip}_{chunk}.wav"
                    write_wav(path, RANDOM.integers(-9000, 9000, 22050 if chunk else 15000))
                    labels = ",".join({names[clip % 5], names[2 * clip % 5]})
                    rows.writerow(
                        [clip, f"/home/someone/data/chunks/wavs/{path.name}", labels, f"{part}{clip}"]
                    )


def write_wav(path, samples, rate=22050):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(samples).astype("<i2").tobytes())


WRITERS = {
    "psicov": protein_files,
    "cosmic": cosmic_files,
    "cosmic_auroc": cosmic_files,
    "fsd50k": audio_files,
}


@pytest.fixture
def folder(tmp_path):
    for write in (protein_files, cosmic_files, audio_files):
        write(tmp_path)
    return tmp_path


def refusal(name, folder):
    with pytest.raises(InputError) as caught:
        task = load_task(name, data_dir=folder)
        task.train.inputs[:]
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_loss_and_metric_take_what_a_network_gives(folder, name):
    task = load_task(name, data_dir=folder)
    assert tuple(task.train.inputs.shape[1:]) == task.input_shape
    for split in (task.train, task.validation, task.test):
        assert split.inputs[:1].shape[1:] == task.input_shape
        assert len(split.inputs) == len(split.targets)
        shape = (len(split.targets), task.outputs, *(task.input_shape[1:] if task.dense else ()))
        assert task.loss(torch.randn(shape), split.targets).isfinite()
    score = task.metric.create()
    score.update(torch.randn(shape), task.test.targets)
    assert score.compute().isfinite()


def test_windows_of_proteins_hold_the_benchmark_s_planes(folder):
    """One window against planes that are built as the benchmark builds them, one outer product after another."""
    task = load_task("psicov", data_dir=folder)
    assert task.input_shape == (57, 128, 128)
    # 1ABC_A is held out; 130 + 10 padding needs 2 x 2 windows, 30 + 10 one; 150 + 10 needs four.
    assert [len(split.targets) for split in (task.train, task.validation, task.test)] == [5, 1, 4]
    assert task.validation.targets[0, 1, 0, 0] == 2  # its number comes after those of training
    place = folder / "protein" / "deepcov"
    features = pickle.loads((place / "features" / "2DEF_B.pkl").read_bytes())
    rows = [*features["ss"], *features["pssm"].T, features["sa"], features["entropy"]]
    planes = []
    for row in rows:
        repeated = np.repeat(row.reshape(1, 130), 130, axis=0)
        planes += [repeated, repeated.T]
    planes += [features[each] for each in ("ccmpred", "freecon", "potential")]
    padded = np.zeros((57, 256, 256), np.float32)
    padded[:, 5:135, 5:135] = planes
    windows = task.train.inputs[torch.arange(4)]
    np.testing.assert_array_equal(windows[0], padded[:, :128, :128])
    np.testing.assert_array_equal(windows[1], padded[:, :128, 128:])
    np.testing.assert_array_equal(windows[3], padded[:, 128:, 128:])
    distances = np.load(place / "distance" / "2DEF_B-cb.npy", allow_pickle=True)[2]
    found = task.train.targets[0, 0, 5:, 5:].numpy()
    upper = np.triu_indices(123, 1)
    np.testing.assert_allclose(found[upper], np.maximum(distances[:123, :123], 1)[upper].astype("f4"))
    assert found[3, 3] == pytest.approx((found[3, 2] + found[3, 4]) / 2)
    assert (task.train.targets[0, 0, :5] == 100).all()
    zeros = torch.zeros(5, 1, 128, 128)
    expected = task.train.targets[:, :1].clamp_max(16).square().mean()
    torch.testing.assert_close(task.loss(zeros, task.train.targets), expected)


def test_mae_8_is_that_of_whole_proteins(folder):
    """Windows in two batches against the map of the protein in one piece, in NumPy."""
    task = load_task("psicov", data_dir=folder)
    outputs = torch.rand(4, 1, 128, 128, generator=torch.Generator().manual_seed(0)) * 12 - 1
    metric = task.metric.create()
    for part in (slice(0, 3), slice(3, 4)):
        metric.update(outputs[part], task.test.targets[part])
    whole = (
        torch.cat([torch.cat(list(outputs[i : i + 2, 0]), 1) for i in (0, 2)]).double().numpy()[5:155, 5:155]
    )
    place = folder / "protein" / "psicov" / "distance" / "1a3aA-cb.npy"
    true = np.maximum(np.load(place, allow_pickle=True)[2], 1).astype("f4")
    whole = np.maximum(whole, 0.01)
    errors = [
        abs((whole[p, q] + whole[q, p]) / 2 - true[p, q])
        for p in range(150)
        for q in range(p + 24, 150)
        if true[p, q] <= 8
    ]
    assert len(errors) > 3
    assert float(metric.compute()) == pytest.approx(np.mean(errors), rel=1e-6)


def test_mae_8_without_contacts_is_infinite():
    metric = ContactMAE(ROW)
    metric.update(torch.zeros(1, 1, 4, 4), torch.full((1, 3, 4, 4), 100.0))
    assert metric.compute() == torch.inf


def test_middles_of_galaxies_and_their_ignored_pixels(folder):
    task = load_task("cosmic", data_dir=folder)
    assert (task.input_shape, task.dense, task.kind) == ((1, 128, 128), True, "multi-label")
    assert [len(split.targets) for split in (task.train, task.validation, task.test)] == [10, 2, 6]
    first = np.load(folder / "npy_train" / "f435w" / "10342" / "3" / "1_0.npy")[:, 64:192, 64:192]
    np.testing.assert_allclose(task.unscaled(task.train).inputs[0, 0], first[0], atol=1e-6)
    expected = np.where(first[2] > 0, -1, first[1] > 0)
    np.testing.assert_array_equal(task.train.targets[0, 0], expected)
    logits, targets = torch.randn(6, 1, 128, 128), task.test.targets
    seen = targets >= 0
    x, y = logits[seen].double(), targets[seen].double()
    torch.testing.assert_close(
        task.loss(logits.double(), targets), (x.clamp_min(0) - x * y + (1 + (-x.abs()).exp()).log()).mean()
    )
    metric = task.metric.create()
    metric.update(logits, targets)
    assert (task.metric.name, task.metric.higher_is_better) == ("fnr", False)
    positive = targets == 1
    assert float(metric.compute()) == pytest.approx(float((logits[positive] <= 0).double().mean()))


def test_auroc_leaves_ignored_pixels_out():
    logits = torch.tensor([0.1, 2.0, -1.0, 5.0, 0.5]).view(1, 1, 1, 5)
    metric = SeenAUROC(IGNORED)
    metric.update(logits, torch.tensor([0, 1, 0, -1, 1]).view(1, 1, 1, 5))
    metric.update(logits, torch.tensor([-1, -1, 1, -1, -1]).view(1, 1, 1, 5))
    # Of the pairs of positives (2, 0.5, -1) with negatives (0.1, -1), four are right and one is a tie.
    assert float(metric.compute()) == pytest.approx(4.5 / 6)


def test_spectrograms_are_those_of_the_definition():
    """Against a spectrogram in NumPy, frame by frame, with filters written out from the mel scale."""
    sound = RANDOM.standard_normal(22050) * np.linspace(0.001, 0.5, 22050)
    window = np.zeros(1920)
    window[(1920 - 661) // 2 :][:661] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(661) / 661)
    padded = np.pad(sound, 960, mode="reflect")
    frames = np.stack([padded[i * 220 :][:1920] * window for i in range(101)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + 11025 / 700), 98)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.linspace(0, 11025, 961)
    filters = np.stack([np.interp(frequencies, edges[i : i + 3], [0, 1, 0]) for i in range(96)])
    decibels = 10 * np.log10(np.maximum(filters @ power.T, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    found = log_mel(torch.from_numpy(sound).float()).numpy()
    assert found.shape == (96, 101)
    np.testing.assert_allclose(found, decibels - decibels.mean(), atol=2e-3)  # float32 powers


def test_clips_are_the_means_of_their_chunks(folder):
    task = load_task("fsd50k", data_dir=folder)
    assert task.input_shape == (1, 96, 102)
    assert [len(split.targets) for split in (task.train, task.validation, task.test)] == [12, 6, 7]
    assert task.settings["paper"]["retrain_epochs"] == 100  # two chunks a clip
    assert (task.train.inputs[:1][..., -1] == 0).all()
    assert task.train.targets[:, -1].tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5]
    logits = torch.tensor([[3.0, 0.0], [-1.0, 1.0], [0.0, 3.0], [0.5, -1.0]])
    targets = torch.tensor([[1, 0, 7], [1, 0, 7], [0, 1, 3], [1, 1, 5]])
    metric = ClipMAP()
    metric.update(logits[:3], targets[:3])
    metric.update(logits[3:], targets[3:])
    # Clips 3, 5, 7 have logits (0, 3), (0.5, -1), (1, 0.5); label 0 is in 5 and 7, label 1 in 3 and 5.
    assert float(metric.compute()) == pytest.approx((1.0 + (1 + 2 / 3) / 2) / 2)
    x, y = torch.zeros(1, 5), torch.tensor([[1, 0, 0, 0, 0, 9]])
    assert float(task.loss(x, y)) == pytest.approx(np.log(2) * (10 + 4) / 5, rel=1e-6)


def test_a_short_chunk_is_repeated(tmp_path):
    write_wav(tmp_path / "a.wav", np.arange(10000))
    sound = read_wav(tmp_path / "a.wav")
    assert len(sound) == 22050
    np.testing.assert_allclose(sound[10000:10003] * 2**15, [0, 1, 2])


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_file_is_named(tmp_path, name):
    said = refusal(name, tmp_path)
    assert "is not there; download" in said and "as NAS-Bench-360 tells" in said


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_named(folder, name):
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[:50])
    refusal(name, folder)


def test_wrong_contents_are_named(folder):
    place = folder / "protein" / "psicov"
    features = pickle.loads((place / "features" / "1a3aA.pkl").read_bytes())
    (place / "features" / "1a3aA.pkl").write_bytes(pickle.dumps({**features, "pssm": np.zeros((150, 21))}))
    assert "pssm has shape [21, 150], not [22, 150]" in refusal("psicov", folder)
    (place / "features" / "1a3aA.pkl").write_bytes(pickle.dumps({**features, "seq": "A" * 600}))
    assert "it has 600 residues; the benchmark's proteins have 2 to 502" in refusal("psicov", folder)
    (folder / "protein" / "psicov.lst").write_text("")
    assert "psicov.lst: it names no protein" in refusal("psicov", folder)
    image = folder / "npy_test" / "f435w" / "14343" / "1" / "1_0.npy"
    np.save(image, np.zeros((256, 256)))
    assert "it has shape [256, 256], not [3, 256, 256]" in refusal("cosmic", folder)
    (folder / "npy_test" / "f435w" / "14343").rename(folder / "npy_test" / "f435w" / "10595")
    assert "npy_test/f435w has no image of a galaxy field" in refusal("cosmic", folder)
    write_wav(folder / "chunks" / "wavs" / "tr_0_0.wav", np.zeros(44100), rate=44100)
    assert "it has 44100 Hz, 1 channels of 16 bits" in refusal("fsd50k", folder)
    manifest = folder / "chunks" / "val.csv"
    manifest.write_text(manifest.read_text().replace("Sound_0", "Bark"))
    assert "has the label 'Bark', not in lbl_map.json" in refusal("fsd50k", folder)
    (folder / "chunks" / "lbl_map.json").write_text('{"a": 1}')
    assert "it does not give every label a number from 0 up" in refusal("fsd50k", folder)
