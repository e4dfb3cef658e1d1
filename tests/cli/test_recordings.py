"""``search --data`` on HDF5 files, folders of sounds and images, WFDB records and series with time stamps."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import wfdb
from PIL import Image
from typer.testing import CliRunner

from dashdeploy.cli.app import app

FEW = [
    "--width",
    "2",
    "--kernel-sizes",
    "3",
    "--dilations",
    "1,2",
    "--search-epochs",
    "1",
    "--retrain-epochs",
    "1",
    "--set",
    "batch_size=8",
]
CLASSES = ("fast", "slow")


def wave(number, length=48):
    noise = 0.1 * np.random.default_rng(number).standard_normal(length)
    return 0.4 * np.sin(np.arange(length) * (0.9, 0.3)[number % 2] + number) + noise


def hdf5(folder):
    with h5py.File(folder / "data", "w") as file:
        for split, count in (("train", 24), ("test", 8)):
            file[f"{split}/x"] = np.stack([wave(number) for number in range(count)])[:, None]
            file[f"{split}/y"] = np.array([CLASSES[n % 2] for n in range(count)], h5py.string_dtype())
    return (folder / "data").rename(folder / "data.h5")


def sounds(folder):
    for number in range(30):
        place = folder / "data" / CLASSES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{number:02d}.flac", wave(number), 1000)
    return folder / "data"


def images(folder):
    for number in range(30):
        place = folder / "data" / ("train" if number < 20 else "test") / CLASSES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        rows = np.outer(wave(number, 12), wave(number + 2, 12))
        Image.fromarray((128 + 127 * rows).astype(np.uint8)).save(place / f"{number}.png")
    return folder / "data"


def records(folder):
    place = folder / "data"
    place.mkdir()
    for number in range(30):
        wfdb.wrsamp(
            f"r{number:02d}", fs=100, units=["mV"], sig_name=["I"], fmt=["16"], write_dir=str(place),
            p_signal=wave(number)[:, None], comments=[f"Dx: {CLASSES[number % 2]}"],
        )  # fmt: skip
    return place


def stamped(folder):
    header = "@problemName data\n@timeStamps true\n@classLabel true fast slow\n@data\n"
    times = np.cumsum(np.random.default_rng(0).choice([1, 1, 1, 2], 48))
    for end, numbers in (("TRAIN", range(24)), ("TEST", range(8))):
        lines = [
            ",".join(f"({t},{v:.4f})" for t, v in zip(times, wave(n), strict=True)) + f":{CLASSES[n % 2]}"
            for n in numbers
        ]
        (folder / f"data_{end}.ts").write_text(header + "\n".join(lines) + "\n")
    return folder / "data_TRAIN.ts"


FORMS = {
    "HDF5": (hdf5, [], [1, 48]),
    "sounds": (sounds, ["--normalize", "channels"], [1, 48]),
    "images": (images, ["--image-size", "8x10"], [1, 8, 10]),
    "WFDB records": (records, ["--normalize", "samples"], [1, 48]),
    "time stamps": (stamped, ["--timestamps", "resample"], None),
}


def search(*words):
    return CliRunner().invoke(app, ["search", *map(str, words), "--out", "run", *FEW])


@pytest.mark.parametrize("form", FORMS)
def test_a_search_takes_it(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, options, shape = FORMS[form]
    result = search("--data", write(tmp_path), *options)
    assert result.exit_code == 0, result.stderr
    config = json.loads(Path("run/config.json").read_text())
    assert config["labels"] == list(CLASSES)
    assert shape is None or config["input_shape"] == shape
    assert len(config["source"]["sha256"]) == 64
    assert np.load("run/samples.npz")["inputs"].shape[1:] == tuple(config["input_shape"])


WRONG = {
    "HDF5": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "sounds": lambda path: (path / "slow" / "01.flac").write_bytes(b"fLaC"),
    "images": lambda path: (path / "train" / "slow" / "1.png").write_bytes(b"none"),
    "WFDB records": lambda path: (path / "r03.dat").write_bytes(bytes(96)),
    "time stamps": lambda path: path.write_text(path.read_text().replace("(", "", 1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_one_is_refused_in_one_line(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, options, _ = FORMS[form]
    path = write(tmp_path)
    WRONG[form](path)
    result = search("--data", path, *options)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not Path("run").exists()


def test_time_stamps_are_refused_with_the_option_that_takes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = search("--data", stamped(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "the series have time stamps; use --timestamps resample to bring them to an even grid\n"
    )


def test_images_of_several_sizes_are_refused_with_the_option_that_takes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = images(tmp_path)
    Image.new("L", (20, 12)).save(path / "test" / "slow" / "21.png")
    result = search("--data", path)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "21.png: it has 12 x 20 pixels, others 12 x 12: there are 2 sizes; name" in result.stderr
    assert result.stderr.endswith("with --image-size\n")
    assert search("--data", path, "--image-size", "12").exit_code == 0
    assert "not a size" in search("--data", path, "--image-size", "wide").stderr


@pytest.mark.parametrize(
    ("form", "package"),
    [("HDF5", "h5py"), ("sounds", "soundfile"), ("images", "PIL"), ("WFDB records", "wfdb")],
)
def test_a_package_that_is_not_there_is_named(form, package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = FORMS[form][0](tmp_path)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    result = search("--data", path)
    assert result.exit_code == 3 and result.stderr.count("\n") == 1
    assert "pip install 'dashdeploy[formats]'" in result.stderr
