"""Pictures from files to arrays a model takes, with Pillow. Importing this loads no TensorFlow."""

import io
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerascw.errors import CallError, choices

__all__ = ["Invert", "Picture", "Unreadable", "fit_picture", "pillow_filters", "read_pictures"]

Invert = Literal["auto", "yes", "no"]

FORMATS = ("PNG", "JPEG", "BMP", "GIF")
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif"})
STACK_SUFFIXES = frozenset({".npy", ".npz"})

_STACK_NAMES = ("images", "x", "arr_0")
_MAX_NPZ_BYTES = 2**31  # unpacked; a few kilobytes of zip can claim any size


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was read: uint8 ``[height, width, channels]`` of the shape asked for.

    ``name`` is the path as it was given or found, with ``[3]`` after it in a stack.
    """

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no picture, and why, in one line."""

    name: str
    reason: str


def read_pictures(
    sources: Iterable[str | Path],
    shape: tuple[int, int, int],
    *,
    light_on_dark: bool = False,
    invert: Invert = "auto",
    stdin: BinaryIO | None = None,
) -> Iterator[Picture | Unreadable]:
    """Read pictures one after another; what cannot be read is reported and never raised.

    Each is turned as its EXIF says, made grey or RGB, inverted if need be, and fitted into
    ``shape``: aspect ratio kept, antialiased (bilinear), centred, the rest black. One that has
    the shape already keeps its pixels. Transparent pictures are laid on white where their
    opaque pixels are dark on average, else on black: a black or a white logo both stay visible,
    and ``auto`` brings both out light on dark.

    Parameters
    ----------
    sources : PNG, JPEG, BMP or GIF (first frame) of any size; ``.npy`` or ``.npz`` with uint8
        ``[h, w]``, ``[h, w, c]``, ``[n, h, w]`` or ``[n, h, w, c]`` (three dimensions are one
        picture where the last has 1, 3 or 4); a folder, for all of these below it by name,
        without hidden files and linked folders; ``-`` for one picture on standard input.
    shape : height, width and channels (1 or 3) of the arrays that are wanted.
    light_on_dark : the model learned light things on black.
    invert : ``auto`` inverts a picture with light corners where ``light_on_dark``, and never a
        stack: arrays are taken to be as the model's own data. ``yes`` all, ``no`` none.
    stdin : what ``-`` reads, in place of ``sys.stdin.buffer``.

    Raises
    ------
    CallError
        ``shape`` with other channels, or another ``invert``; at the first picture.
    """
    if shape[2] not in (1, 3):
        raise CallError(f"pictures of {shape[2]} channels: only 1 (grey) and 3 (RGB) can be read")
    if invert not in ("auto", "yes", "no"):
        raise CallError(f"invert: {invert!r}; choose {choices(('auto', 'yes', 'no'))}")
    for source in sources:
        name = os.fspath(source)
        if name == "-":
            found: Iterable[str | Unreadable] = [name]
        else:
            found = _files_below(name) if os.path.isdir(name) else [name]
        for file in found:
            if isinstance(file, Unreadable):
                yield file
                continue
            try:
                for item, image, is_stack in _read(file, stdin):
                    automatic = light_on_dark and not is_stack and _has_light_corners(image)
                    inverted = invert == "yes" or (invert == "auto" and automatic)
                    yield Picture(item, _fitted(image, shape, inverted))
            # Pillow and NumPy let SyntaxError, struct.error, zlib.error, MemoryError and more
            # through on damaged files; none of them may cost the other pictures
            except Exception as error:
                yield Unreadable(file, _reason(error))


def fit_picture(file: str | Path, shape: tuple[int, int, int]) -> Picture | Unreadable:
    """Read one picture file as :func:`read_pictures` does, never inverted.

    For many files in several threads: the caller enters :func:`pillow_filters` around them all.
    """
    name = os.fspath(file)
    try:
        _refuse_special(name)
        with open(name, "rb") as stream:
            image = _decoded(stream)
        return Picture(name, _fitted(image, shape, inverted=False))
    except Exception as error:  # as in read_pictures
        return Unreadable(name, _reason(error))


@contextmanager
def pillow_filters() -> Iterator[None]:
    """Hold back Pillow's warnings, but make that of an overlarge picture an error.

    Warning filters are the whole process': threads must not enter this one by one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on damaged EXIF and the like: the pixels are there
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class _NoPicture(Exception):
    """The file is whole, but holds nothing to predict; the text says what it holds."""


def _files_below(folder: str) -> Iterator[str | Unreadable]:
    """Yield known files in the order of their names, depth first; folders that are links stay out.

    A link to a folder above would never end.
    """
    problems: list[OSError] = []
    found = False
    for parent, folders, files in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in PICTURE_SUFFIXES | STACK_SUFFIXES and not name.startswith("."):
                found = True
                yield os.path.join(parent, name)
    for problem in problems:
        yield Unreadable(str(problem.filename), _reason(problem))
    if not found and not problems:
        yield Unreadable(folder, f"no pictures in this folder ({', '.join(sorted(_suffixes()))})")


def _suffixes() -> frozenset[str]:
    return PICTURE_SUFFIXES | STACK_SUFFIXES


def _read(file: str, stdin: BinaryIO | None) -> Iterator[tuple[str, Image.Image, bool]]:
    """Yield name, picture of mode L or RGB, and whether it comes from a stack."""
    if file == "-":
        stream = stdin or sys.stdin.buffer
        yield file, _open(io.BytesIO(stream.read())), False
        return
    _refuse_special(file)
    if os.path.splitext(file)[1].lower() in STACK_SUFFIXES:
        array = _read_stack(file)
        single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
        if not array.size:
            raise _NoPicture(f"no pictures in it: {_described(array)}")
        for position, pixels in enumerate(array[None] if single else array):
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
            yield file if single else f"{file}[{position}]", _opaque(image), True
    else:
        with open(file, "rb") as stream:
            image = _open(stream)
        yield file, image, False


def _refuse_special(file: str) -> None:
    if os.path.exists(file) and not os.path.isfile(file):
        raise _NoPicture("not a regular file; pipe it in and name it -")  # open() might hang


def _open(stream: BinaryIO) -> Image.Image:
    with pillow_filters():
        return _decoded(stream)


def _decoded(stream: BinaryIO) -> Image.Image:
    with Image.open(stream, formats=FORMATS) as image:
        image.load()
        return _opaque(ImageOps.exif_transpose(image))


def _opaque(image: Image.Image) -> Image.Image:
    """Return the picture in mode L or RGB."""
    if image.mode.startswith("I"):  # 16 bits; convert("L") would clip at 255
        wide = np.asarray(image).clip(0, 65535)
        image = Image.fromarray((wide / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        seen = np.asarray(image.convert("L"))[np.asarray(image.getchannel("A")) > 127]
        background = 255 if seen.size and seen.mean() < 128 else 0
        canvas = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


def _has_light_corners(image: Image.Image) -> bool:
    """Return whether the median of the four corners, 1/14 of each side, is above 127.

    Of the 70,000 Fashion-MNIST and the 70,000 MNIST pictures, which are all light on dark, this
    inverts none, and of their negatives it misses none. The median of a one pixel border fails
    on 2 of Fashion-MNIST's (both in the training set), of a two pixel border on 5, and of the
    whole picture on 13,100.
    """
    grey = np.asarray(image.convert("L"))
    rows, columns = (max(1, round(side / 14)) for side in grey.shape)
    sides = (slice(None, rows), slice(-rows, None)), (slice(None, columns), slice(-columns, None))
    corners = [
        grey[vertical, horizontal].ravel() for vertical in sides[0] for horizontal in sides[1]
    ]
    return bool(np.median(np.concatenate(corners)) > 127)


def _fitted(image: Image.Image, shape: tuple[int, int, int], inverted: bool) -> np.ndarray:
    """Return uint8 of ``shape``: made grey or RGB, inverted, scaled to fit, padded with black."""
    height, width, channels = shape
    image = image.convert("L" if channels == 1 else "RGB")
    if inverted:
        image = ImageOps.invert(image)
    if image.size != (width, height):
        # as ImageOps.pad, which rounds the short side of a 1000 x 1 picture to 0: all black
        # (Pillow 13) or an error (before)
        scale = min(width / image.width, height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # bilinear is what the exported graph uses too, so that both see the same picture
        scaled = image.resize(size, Image.Resampling.BILINEAR)
        image = Image.new(image.mode, (width, height))
        image.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(image).reshape(shape)


def _is_picture_like(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and (
        array.ndim in (2, 3) or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
    )


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"


def _read_stack(file: str) -> np.ndarray:
    """Return the picture-like array of an .npy or .npz file; of several, one by its name."""
    try:  # mapped: a file that claims more than it has is refused before memory is asked for
        loaded: Any = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise _NoPicture("no array of numbers; Python objects are never loaded") from None
        raise
    if isinstance(loaded, np.ndarray):
        if not _is_picture_like(loaded):
            raise _NoPicture(
                f"{_described(loaded)}; expected uint8 [n, h, w], [n, h, w, c] or [h, w]"
            )
        return loaded
    with loaded as archive:
        size = sum(member.file_size for member in archive.zip.infolist())
        if size > _MAX_NPZ_BYTES:
            raise _NoPicture(f"{size:,} bytes unpacked; at most {_MAX_NPZ_BYTES:,} are read")
        arrays = {}
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError:  # Python objects: loading them could run any code
                continue
    pictures = {name: array for name, array in arrays.items() if _is_picture_like(array)}
    if not pictures:
        held = ", ".join(f"{name} {_described(array)}" for name, array in arrays.items())
        raise _NoPicture(
            f"no uint8 [n, h, w], [n, h, w, c] or [h, w] in it; it has {held or 'no arrays'}"
        )
    named = list(pictures) if len(pictures) == 1 else [n for n in _STACK_NAMES if n in pictures]
    if len(named) != 1:
        raise _NoPicture(
            f"several arrays of pictures: {', '.join(sorted(pictures))}; "
            f"keep one, or name one {choices(_STACK_NAMES)}"
        )
    return pictures[named[0]]


def _reason(error: Exception) -> str:
    if isinstance(error, _NoPicture):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return f"no {choices(FORMATS)} picture"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    message = str(error).strip() or type(error).__name__
    return f"damaged: {message.splitlines()[0]:.200}"
