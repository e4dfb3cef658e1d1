"""Images: PNG, JPEG, BMP, TIFF, WebP and PNM, read by Pillow as [channels, height, width], float32 from 0 to 1."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import refuse
from dashdeploy.errors import MissingCapabilityError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"}
)

_GRAY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_GRAY = ("1", "L", "LA", *_GRAY_16)
_COLOR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")
_TRANSPARENT = ("LA", "RGBA", "PA")
_TURNED = (5, 6, 7, 8)  # orientations of EXIF that swap height and width

Pixels = npt.NDArray[np.float32]


class _Picture(NamedTuple):
    path: Path
    size: tuple[int, int]  # height, width, as it is looked at
    mode: str


def stored_images(
    splits: Mapping[str, Sequence[Path]], size: tuple[int, int] | None
) -> tuple[dict[str, StoredArray], tuple[str, ...]]:
    """The images of all splits, [n, 1 or 3, height, width], read when asked for, and what is to be said of them.

    All have one channel if all are gray, else three. A photo is turned as its EXIF orientation says.

    Args:
        splits: files by split; ``train`` is among them.
        size: height and width that all are resized to; None takes images of one size.

    Raises:
        InputError: a file cannot be decoded, or there are several sizes and none is given.
        MissingCapabilityError: Pillow is not installed.
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingCapabilityError(
            "images are read by Pillow; install it with: pip install 'dashdeploy[formats]'"
        ) from error
    pictures = {name: [_picture(path) for path in paths] for name, paths in splits.items()}
    every = [each for split in pictures.values() for each in split]
    sizes = Counter(each.size for each in every)
    if size is None and len(sizes) > 1:
        (most, _), (other, _) = sizes.most_common(2)
        odd = next(each for each in every if each.size == other)
        refuse(
            odd.path,
            f"it has {other[0]} x {other[1]} pixels, others {most[0]} x {most[1]}: there are {len(sizes)} sizes",
            "name the height and width that all are resized to with `image_size`",
        )
    notes: list[str] = []
    gray = sum(each.mode in _GRAY for each in every)
    channels = 1 if gray == len(every) else 3
    if channels == 3 and gray:
        notes.append(f"{gray} of {len(every)} images are gray; they get three equal channels")
    transparent = sum(each.mode in _TRANSPARENT for each in every)
    if transparent:
        notes.append(f"the transparency of {transparent} of {len(every)} images is left out")
    shape = size or next(iter(sizes))
    if size is not None and set(sizes) != {size}:
        notes.append(f"images of {len(sizes)} sizes are resized to {size[0]} x {size[1]} pixels (bilinear)")
    return {name: _stored(split, channels, shape) for name, split in pictures.items()}, tuple(notes)


def _stored(pictures: Sequence[_Picture], channels: int, size: tuple[int, int]) -> StoredArray:
    def read(rows: Sequence[int]) -> Pixels:
        return np.stack([_pixels(pictures[row].path, channels, size) for row in rows])

    return StoredArray((len(pictures), channels, *size), np.dtype(np.float32), read)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image of a file; whatever goes wrong with it as an `InputError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata
            with Image.open(path) as image:
                yield image
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        what = " ".join(str(error).split()).replace(str(path), "it")
        refuse(path, f"it cannot be decoded ({what})", "write it again, or leave it out")
    except Image.DecompressionBombWarning as error:
        refuse(path, f"it is too large ({' '.join(str(error).split())})", "make it smaller, or leave it out")


def _picture(path: Path) -> _Picture:
    with _opened(path) as image:
        pages, mode, size = getattr(image, "n_frames", 1), image.mode, image.size[::-1]
        turned = image.getexif().get(0x0112) in _TURNED
    if pages > 1:
        refuse(path, f"it holds {pages} images", "write each into a file of its own")
    if mode not in _GRAY and mode not in _COLOR:
        refuse(
            path,
            f"its pixels are of Pillow's mode {mode}, which has no range from black to white",
            "write it with 8 or 16 bits, or use arrays",
        )
    return _Picture(path, size[::-1] if turned else size, mode)


def _pixels(path: Path, channels: int, size: tuple[int, int]) -> Pixels:
    """[channels, *size], from 0 to 1."""
    from PIL import Image, ImageOps

    with _opened(path) as image:
        image.load()
        upright: Image.Image = ImageOps.exif_transpose(image)
        if upright.mode in _GRAY_16:  # Pillow cuts these off at 255 on the way to other modes
            upright = Image.fromarray(np.asarray(upright, dtype=np.float32) / 65535)
        elif upright.mode in _GRAY:
            upright = upright.convert("L")
        else:
            upright = upright.convert("RGB")
        if upright.size != size[::-1]:
            upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(upright)
    found: Pixels = pixels.astype(np.float32) / (1 if pixels.dtype == np.float32 else np.float32(255))
    planes = found[None] if found.ndim == 2 else found.transpose(2, 0, 1)
    return np.ascontiguousarray(np.broadcast_to(planes, (channels, *size)))
