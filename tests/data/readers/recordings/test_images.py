"""Folders of images by class, written by Pillow."""

import numpy as np
import pytest
from PIL import Image

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data

RANDOM = np.random.default_rng(0)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    def make(shape=(6, 8), suffix="png", mode=None, counts=(10, 4)):
        for split, count in zip(("train", "test"), counts, strict=True):
            for name in ("cat", "dog"):
                for number in range(count):
                    path = tmp_path / "pets" / split / name / f"{number}.{suffix}"
                    save(path, pixels(*shape, seed=number + 50 * (name == "dog")), mode)
        return tmp_path / "pets"

    return make


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "PNG"])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)])
def test_pixels_from_0_to_1(folder, suffix, shape, whole):
    path = folder(shape, suffix)
    task = load_data(path)
    assert task.input_shape == ((3 if len(shape) == 3 else 1), 6, 8) and task.labels == ("cat", "dog")
    expected = [pixels(*shape, seed=number + 50 * dog) for dog in (0, 1) for number in range(4)]
    planes = np.stack([each.transpose(2, 0, 1) if each.ndim == 3 else each[None] for each in expected])
    assert np.array_equal(whole(task.test.inputs), planes.astype("f4") / np.float32(255))
    assert task.test.targets.tolist() == [0] * 4 + [1] * 4


def test_jpeg_is_close(folder, whole):
    path = folder((16, 16), "jpg")
    smooth = (np.add.outer(np.arange(16), np.arange(16)) * 8).astype(np.uint8)
    save(path / "test" / "cat" / "0.jpg", smooth, quality=95)
    found = whole(load_data(path).test.inputs)[0, 0]
    assert np.abs(found - smooth / 255).max() < 0.03  # the loss of this quality on a slope


def test_16_bits_are_not_cut_to_8(folder, whole):
    path = folder()
    deep = (np.arange(48).reshape(6, 8) * 1394).astype(np.uint16)
    save(path / "test" / "cat" / "0.png", deep)
    save(path / "test" / "cat" / "1.tiff", deep)
    save(path / "test" / "cat" / "2.png", pixels(6, 8, 3))
    task = load_data(path)
    assert task.input_shape == (3, 6, 8)
    assert "images are gray; they get three equal channels" in task.notes[0]
    for row in (0, 2):
        for channel in range(3):
            np.testing.assert_allclose(whole(task.test.inputs)[row, channel], deep / 65535, atol=1e-7)


def test_palettes_and_transparency(folder, whole):
    path = folder((6, 8, 3))
    flat = np.zeros((6, 8, 3), np.uint8) + np.array([255, 0, 51], np.uint8)
    save(path / "test" / "cat" / "0.png", flat, "P")
    save(path / "test" / "cat" / "1.png", np.dstack([flat, pixels(6, 8)]))
    task = load_data(path)
    for row in (0, 1):
        np.testing.assert_allclose(whole(task.test.inputs)[row, :, 2, 3], [1, 0, 0.2], atol=1e-6)
    assert "the transparency of 1 of 28 images is left out" in task.notes


def test_photos_are_turned_as_their_orientation_says(folder, whole):
    path = folder()
    upright = pixels(6, 8, seed=3)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to look at it
    save(path / "test" / "cat" / "0.png", np.rot90(upright, 1).copy(), exif=exif)
    assert np.array_equal(whole(load_data(path).test.inputs)[0, 0], upright.astype("f4") / np.float32(255))


def test_several_sizes(folder, refusal, whole):
    path = folder()
    large = save(path / "test" / "dog" / "0.png", pixels(12, 16))
    message = refusal(path)
    assert message.startswith(f"{large}: it has 12 x 16 pixels, others 6 x 8: there are 2 sizes")
    assert message.endswith("with `image_size`")
    task = load_data(path, options=DataOptions(image_size=(6, 8)))
    assert task.input_shape == (1, 6, 8)
    assert "images of 2 sizes are resized to 6 x 8 pixels (bilinear)" in task.notes
    with Image.open(large) as image:
        expected = np.asarray(image.resize((8, 6), Image.Resampling.BILINEAR)) / np.float32(255)
    assert np.array_equal(whole(task.test.inputs)[4, 0], expected)
    assert load_data(path, options=DataOptions(image_size=(10, 5))).input_shape == (1, 10, 5)


def test_by_the_batch_the_numbers_are_the_same(folder, same_by_the_batch):
    path = folder((6, 8, 3))
    same_by_the_batch(path, DataOptions(normalize="channels", image_size=(5, 4)))


def pages(path):
    first, second = (Image.fromarray(pixels(6, 8, seed=seed)) for seed in (0, 1))
    first.save(path, save_all=True, append_images=[second])


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WRONG = {
    "no image": (lambda cat: (cat / "b.png").write_bytes(b"no image"), "b.png: it cannot be decoded"),
    "cut short": (lambda cat: cut(save(cat / "b.png", pixels(6, 8))), "b.png: it cannot be decoded"),
    "cut JPEG": (lambda cat: cut(save(cat / "b.jpg", pixels(6, 8))), "b.jpg: it cannot be decoded"),
    "two pages": (lambda cat: pages(cat / "b.tiff"), "b.tiff: it holds 2 images"),
    "floats": (
        lambda cat: save(cat / "b.tiff", pixels(6, 8).astype("f4")),
        "Pillow's mode F, which has no range",
    ),
    "32 bit": (
        lambda cat: save(cat / "b.tiff", pixels(6, 8).astype("i4")),
        "Pillow's mode I, which has no range",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(folder, name, refusal):
    change, text = WRONG[name]
    path = folder()
    change(path / "train" / "cat")
    assert text in refusal(path)
