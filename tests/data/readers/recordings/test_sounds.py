"""Folders of sounds by class, written by soundfile."""

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.recordings.sampled_signals import resampled, resampled_length

RATE = 4000


def tone(frequency, count=400, channels=1, rate=RATE, seed=0):
    noise = 0.05 * np.random.default_rng(seed).standard_normal((count, channels))
    return 0.4 * np.sin(2 * np.pi * frequency * np.arange(count)[:, None] / rate) + noise


def write(folder, name="a.wav", signal=None, rate=RATE, subtype=None):
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, tone(440) if signal is None else signal, rate, subtype=subtype)
    return folder / name


@pytest.fixture
def folder(tmp_path):
    def make(splits=("train", "test"), counts=(12, 4), channels=1, **changes):
        for split, count in zip(splits, counts, strict=True):
            for index, name in enumerate(("high", "low")):
                for number in range(count):
                    signal = tone((900, 200)[index], channels=channels, seed=100 * index + number)
                    write(tmp_path / "tones" / split / name, f"{number:02d}.wav", signal, **changes)
        return tmp_path / "tones"

    return make


def test_files_and_classes(folder, whole):
    path = folder(channels=2)
    (path / "train" / ".DS_Store").write_bytes(b"x")
    (path / "train" / "low" / ".hidden.wav").write_bytes(b"x")
    (path / "train" / "low" / "Thumbs.db").write_bytes(b"x")
    task = load_data(path)
    assert (task.name, task.input_shape, task.labels, task.kind) == (
        "tones",
        (2, 400),
        ("high", "low"),
        "classification",
    )
    assert task.test.targets.tolist() == [0] * 4 + [1] * 4
    files = sorted((path / "test").rglob("*.wav"))
    expected = np.stack([soundfile.read(file, dtype="float32")[0].T for file in files])
    assert np.array_equal(whole(task.test.inputs), expected) and expected.dtype == np.float32
    assert len(task.train.targets) + len(task.validation.targets) == 24
    assert len(task.source["sha256"]) == 64
    assert [note for note in task.notes if "left out" in note] == []


FORMS = {
    "8 bit": ("wav", "PCM_U8", 1 / 128),
    "16 bit": ("wav", "PCM_16", 2**-15),
    "24 bit": ("wav", "PCM_24", 2**-23),
    "32 bit": ("wav", "PCM_32", 2**-24),
    "float": ("wav", "FLOAT", 1e-7),
    "double": ("wav", "DOUBLE", 1e-7),
    "FLAC": ("flac", "PCM_24", 2**-23),
    "AIFF": ("aiff", "PCM_16", 2**-15),
    "OGG": ("ogg", "VORBIS", 0.1),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_file_is_read_as_float(tmp_path, form):
    suffix, subtype, tolerance = FORMS[form]  # half a step of the quantization, or Vorbis's loss
    signals = {}
    for split, count in (("train", 8), ("test", 3)):
        for name in ("a", "b"):
            for number in range(count):
                signals[split, name, number] = tone(300, seed=number)[:, 0]
                write(
                    tmp_path / "all" / split / name,
                    f"{number}.{suffix}",
                    signals[split, name, number],
                    subtype=subtype,
                )
    inputs = load_data(tmp_path / "all").test.inputs.numpy()
    expected = np.stack([signals["test", name, number] for name in "ab" for number in range(3)])[:, None]
    assert inputs.shape == expected.shape and np.abs(inputs - expected).max() <= tolerance


def test_without_a_test_part_a_fifth_of_every_class_is_held_out(folder, whole):
    path = folder(("",), (20,))
    task = load_data(path, seed=5)
    assert torch.bincount(task.test.targets).tolist() == [4, 4]
    assert task.source["test_split"] == "20% of the samples, stratified, seed 5"
    assert f"test part: {task.source['test_split']}, are kept" in task.notes[0]
    found = {
        row.tobytes() for split in (task.train, task.validation, task.test) for row in whole(split.inputs)
    }
    assert len(found) == 40
    (path / "train").mkdir()
    for name in ("high", "low"):
        (path / name).rename(path / "train" / name)
    assert torch.equal(load_data(path, seed=5).test.inputs, task.test.inputs)


def test_a_validation_part_and_other_folders(folder):
    path = folder(("Training", "validation", "TEST"), (12, 4, 5))
    (path / "notes").mkdir()
    (path / "Training" / "empty").mkdir()
    (path / "Training" / "low" / "readme.txt").write_text("hello")
    task = load_data(path)
    assert [len(part.targets) for part in (task.train, task.validation, task.test)] == [24, 8, 10]
    assert "notes beside tones's train is left out" in task.notes
    assert any(
        "Training/empty holds no sound and no image: this class is left out" in note for note in task.notes
    )
    assert any("1 file is neither" in note and "readme.txt" in note for note in task.notes)


def test_the_most_common_rate_is_that_of_all(folder, whole):
    path = folder()
    odd = tone(200, 800, rate=2 * RATE)
    write(path / "train" / "low", "zz.wav", odd, 2 * RATE, subtype="DOUBLE")
    write(path / "test" / "low", "zz.wav", tone(200, 300, rate=3000), 3000)
    task = load_data(path)
    assert task.input_shape == (1, 400)
    assert (
        "2 of 34 recordings are resampled to 4000 Hz, the rate of most training recordings (3000 Hz: 1, 8000 Hz: 1)"
        in task.notes
    )
    rows = np.concatenate([whole(task.train.inputs), whole(task.validation.inputs)])
    expected = resample_poly(odd[:, 0].astype("f4").astype("f8"), 1, 2, padtype="line")
    assert min(np.abs(row[0] - expected).max() for row in rows) < 1e-6
    # The tone is the same one at another rate: away from the ends, where the filter has no neighbors, it agrees.
    clean = np.sin(2 * np.pi * 200 * np.arange(300) / 3000)[None]
    found = resampled(clean.astype("f4"), 3000, RATE)
    assert found.shape == (1, resampled_length(300, 3000, RATE)) == (1, 400)
    np.testing.assert_allclose(
        found[0, 40:-40], np.sin(2 * np.pi * 200 * np.arange(400) / RATE)[40:-40], atol=2e-3
    )


def test_resampling_keeps_unknown_values_in_their_place():
    signal = np.linspace(0, 1, 100, dtype="f4")[None].repeat(2, 0)
    signal[0, 40:50] = np.nan
    signal[1] = np.nan
    found = resampled(signal, 100, 200)
    unknown = np.isnan(found)
    assert unknown[1].all() and found.shape == (2, 200)
    assert 78 <= unknown[0].argmax() <= 80 and unknown[0].sum() in (19, 20, 21)
    np.testing.assert_allclose(
        found[0, ~unknown[0]][5:-5], (np.arange(200)[~unknown[0]] / 198)[5:-5], atol=1e-3
    )


def test_several_lengths_where_each_is_scaled_by_itself(folder, whole):
    path = folder()
    short = tone(200, 100, seed=7) + 0.2
    write(path / "test" / "low", "y.wav", short, subtype="DOUBLE")
    task = load_data(path, options=DataOptions(normalize="samples"))
    assert any(
        "shorter ones are filled with their own mean, channel by channel" in note for note in task.notes
    )
    padded = whole(task.test.inputs)[-1, 0]
    np.testing.assert_allclose(padded[100:], 0, atol=1e-5)
    np.testing.assert_allclose(padded[:100].std(), 2, rtol=1e-5)  # 100 of 400 values have all the deviation


@pytest.mark.parametrize("how", ["pad", "resample"])
def test_several_lengths(folder, how, whole):
    path = folder()
    short, long = tone(200, 100, seed=7), tone(200, 600, seed=8)
    write(path / "test" / "low", "y.wav", short, subtype="DOUBLE")
    write(path / "test" / "low", "z.wav", long, subtype="DOUBLE")
    task = load_data(path, options=DataOptions(lengths=how))
    (said,) = [note for note in task.notes if "recordings have" in note]
    assert "100 to 600 values" in said and "get 400" in said
    padded, cut = whole(task.test.inputs)[-2:, 0]
    if how == "pad":
        train = np.concatenate([soundfile.read(file)[0] for file in sorted((path / "train").rglob("*.wav"))])
        np.testing.assert_allclose(padded, [*short[:, 0], *[train.mean()] * 300], atol=1e-6)
        np.testing.assert_allclose(cut, long[:400, 0], atol=1e-6)
    else:
        expected = np.interp(np.linspace(0, 99, 400), np.arange(100), short[:, 0])
        np.testing.assert_allclose(padded, expected, atol=1e-6)
        np.testing.assert_allclose(cut[[0, -1]], long[[0, -1], 0], atol=1e-6)


def test_by_the_batch_the_numbers_are_the_same(folder, same_by_the_batch):
    path = folder()
    write(path / "train" / "low", "x.wav", tone(200, 700, rate=2 * RATE), 2 * RATE)
    same_by_the_batch(path)


def image(folder):
    from PIL import Image

    Image.new("L", (4, 4)).save(folder / "b.png")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WRONG = {
    "no sound": (lambda low: (low / "b.wav").write_bytes(b"no sound at all"), "b.wav: it cannot be decoded"),
    "cut WAV": (lambda low: cut(write(low, "b.wav")), "b.wav: it is cut short: "),
    "cut FLAC": (lambda low: cut(write(low, "b.flac")), "b.flac: it cannot be decoded"),
    "empty": (lambda low: write(low, "b.wav", np.zeros((0, 1))), "b.wav: it is empty or cut short"),
    "other channels": (lambda low: write(low, "b.wav", tone(9, channels=2)), "b.wav: it has 2 channels"),
    "NaN": (
        lambda low: write(low, "b.wav", np.array([0.1, np.nan]), subtype="FLOAT"),
        "b.wav: it holds values that",
    ),
    "in no class": (lambda low: write(low.parent, "b.wav"), "b.wav: it lies in no folder of a class"),
    "an unknown class": (lambda low: write(low.parents[1] / "test" / "new"), "y_test"),
    "an image": (image, "it holds both"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(folder, name, refusal):
    change, text = WRONG[name]
    path = folder()
    change(path / "train" / "low")
    assert text in refusal(path)


def test_options_that_do_not_fit(folder, refusal):
    path = folder()
    assert "leave out `predict=regression`" in refusal(path, predict="regression")
    assert "leave out `image_size`" in refusal(path, image_size=(8, 8))


def test_folders_with_nothing_in_them(tmp_path, refusal):
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert "the folder holds neither x_train.npy" in refusal(tmp_path / "empty")
    write(tmp_path / "flat")
    assert "it lies in no folder of a class; move it to" in refusal(tmp_path / "flat")
    for number in range(12):
        write(tmp_path / "one" / "only", f"{number}.wav")
    assert "holds the one class only" in refusal(tmp_path / "one")


def test_a_stream_whose_header_could_not_be_finished_is_whole(folder):
    path = folder()
    file = write(path / "train" / "low", "b.wav")
    content = bytearray(file.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    assert load_data(path).input_shape == (1, 400)
