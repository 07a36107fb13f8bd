"""Read image files into arrays that a model takes, with Pillow. Importing this loads no TensorFlow.

What is read is decided by a file's content; a folder is searched by the names of files.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from kerascw.errors import CallError, choices

Invert = Literal["auto", "yes", "no"]
Fit = Literal["pad", "crop", "stretch"]

_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
}
_OPTIONAL = {"WEBP": "webp", "AVIF": "avif"}  # Pillow may have been built without them
FORMATS = tuple(name for name in _SUFFIXES if features.check(_OPTIONAL.get(name, "pil")))
"""The formats that are read. Each holds pixels only: no scripts, no other program is called."""

IMAGE_SUFFIXES = frozenset(suffix for name in FORMATS for suffix in _SUFFIXES[name])
STACK_SUFFIXES = frozenset({".npy", ".npz"})
UNREAD_SUFFIXES = {
    *(".webp", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".svg", ".eps", ".psd", ".ico"),
    *(".tga", ".pbm", ".pgm", ".ppm", ".pnm", ".pcx", ".dds", ".exr", ".hdr", ".xcf", ".dcm"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
} - IMAGE_SUFFIXES
"""Images by their names, in formats that are not read."""

_STACK_NAMES = ("images", "x", "arr_0")
_MAX_NPZ_BYTES = 2**31  # unpacked; a few kilobytes of zip can claim any size


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that was read."""

    name: str  # its path as it was given or found, with [3] after it in a stack
    array: np.ndarray  # uint8 [height, width, channels], of the shape asked for


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no image, and why, in one line."""

    name: str
    reason: str


class LeftOut(Unreadable):
    """A file of a folder that is no image by its name, so that nobody tried to read it."""


def read_pictures(
    sources: Iterable[str | Path],
    shape: tuple[int, int, int],
    *,
    light_on_dark: bool = False,
    invert: Invert = "auto",
    fit: Fit = "pad",
    stdin: BinaryIO | None = None,
) -> Iterator[Picture | Unreadable]:
    """Read images one after another; a file that cannot be read is reported and never raised.

    Each image is turned as its EXIF says, made grey or RGB, inverted if need be, and brought to
    ``shape`` (antialiased, bilinear). One that has the shape already keeps its pixels. A
    transparent image is laid on white where its opaque pixels are dark on average, else on black:
    a black or a white logo both stay visible, and ``auto`` makes both light on dark.

    Parameters
    ----------
    sources : files of the :data:`FORMATS` of any size (of several frames the first); ``.npy`` or
        ``.npz`` with uint8 ``[h, w]``, ``[h, w, c]``, ``[n, h, w]`` or ``[n, h, w, c]`` (three
        dimensions are one image where the last has 1, 3 or 4); a folder, for all files below it
        by name, without hidden files and linked folders; ``-`` for one image on ``stdin``.
    shape : height, width and channels (1 or 3) of the arrays that are wanted.
    light_on_dark : whether the model learned light things on black.
    invert : ``auto`` inverts an image with light corners where ``light_on_dark``, and never a
        stack: arrays are taken to be like the model's own data. ``yes`` inverts all, ``no`` none.
    fit : how an image of another shape is brought to it, about its centre: ``pad`` keeps all of it
        and fills up with black, ``crop`` cuts off what is outside the frame, ``stretch`` changes
        the aspect ratio.

    Yields
    ------
    A :class:`Picture`, or in its place a :class:`LeftOut` or :class:`Unreadable`.
    """
    if shape[2] not in (1, 3):
        raise CallError(f"images of {shape[2]} channels: only 1 (grey) and 3 (RGB) can be read")
    if invert not in get_args(Invert):
        raise CallError(f"invert: {invert!r}; choose {choices(get_args(Invert))}")
    for source in sources:
        name = os.fspath(source)
        is_folder = name != "-" and os.path.isdir(name)
        found: Iterable[str | Unreadable] = _files_below(name) if is_folder else [name]
        for file in found:
            if isinstance(file, Unreadable):
                yield file
                continue
            try:
                for item, image, is_stack in _read(file, stdin):
                    automatic = light_on_dark and not is_stack and _has_light_corners(image)
                    inverted = invert == "yes" or (invert == "auto" and automatic)
                    yield Picture(item, fitted(image, shape, inverted=inverted, fit=fit))
            # Pillow and NumPy let SyntaxError, struct.error, zlib.error, MemoryError and more
            # through on damaged files; none of them may cost the other images
            except Exception as error:
                yield Unreadable(file, _reason(error))


def fit_picture(name: str, shape: tuple[int, int, int], fit: Fit) -> Picture | Unreadable:
    """Read one image file as :func:`read_pictures` does, never inverted.

    For many files in several threads: the caller enters :func:`pillow_filters` around them all.
    """
    try:
        return Picture(name, fitted(_decoded(name), shape, fit=fit))
    except Exception as error:  # as in read_pictures
        return Unreadable(name, _reason(error))


@contextmanager
def pillow_filters() -> Iterator[None]:
    """Hold back Pillow's warnings, but make that of an overlarge image an error.

    Warning filters are the whole process': threads must not enter this one by one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged EXIF and the like: the pixels are there
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class _NoPicture(Exception):
    """The file holds nothing to predict; the text says what it holds."""


def _files_below(folder: str) -> Iterator[str | Unreadable]:
    """Yield files in the order of their names, depth first, and last what is no image by its name.

    Hidden files and linked folders are passed over: a link to a folder above would never end.
    """
    known = IMAGE_SUFFIXES | STACK_SUFFIXES
    problems, others, found = list[OSError](), list[LeftOut](), False
    for parent, folders, files in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            suffix = os.path.splitext(name)[1].lower()
            file = os.path.join(parent, name)
            if suffix in known:
                found = True
                yield file
            elif suffix in UNREAD_SUFFIXES:
                found = True
                reason = f"{suffix} is no format that is read; convert it to PNG, JPEG or WebP"
                yield Unreadable(file, reason)
            else:
                others.append(LeftOut(file, "no image by its name"))
    for problem in problems:
        yield Unreadable(str(problem.filename), _reason(problem))
    if not found and not problems:
        yield Unreadable(folder, f"no images in this folder ({', '.join(sorted(known))})")
    yield from others


def _read(file: str, stdin: BinaryIO | None) -> Iterator[tuple[str, Image.Image, bool]]:
    """Yield name, image of mode L or RGB, and whether it comes from a stack."""
    if os.path.splitext(file)[1].lower() in STACK_SUFFIXES:
        _refuse_special(file)
        array = _read_stack(file)
        single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
        if not array.size:
            raise _NoPicture(f"no images in it: {array.dtype} {list(array.shape)}")
        for position, pixels in enumerate(array[None] if single else array):
            yield file if single else f"{file}[{position}]", of_pixels(pixels), True
    else:
        with pillow_filters():
            image = _decoded(file, stdin)
        yield file, image, False


def _refuse_special(file: str) -> None:
    if os.path.exists(file) and not os.path.isfile(file):
        raise _NoPicture("not a regular file; pipe it in and name it -")  # open() might hang


def _decoded(file: str, stdin: BinaryIO | None = None) -> Image.Image:
    if file == "-":
        stream: BinaryIO = io.BytesIO((stdin or sys.stdin.buffer).read())
    else:
        _refuse_special(file)
        stream = open(file, "rb")  # noqa: SIM115
    with stream, Image.open(stream, formats=FORMATS) as image:
        image.load()  # the first frame
        return opaque(ImageOps.exif_transpose(image))


def of_pixels(pixels: np.ndarray) -> Image.Image:
    """Make an image of mode L or RGB of uint8 ``[h, w]`` or ``[h, w, 1, 3 or 4]``."""
    return opaque(Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def opaque(image: Image.Image) -> Image.Image:
    """Convert an image to mode L or RGB."""
    if image.mode == "F":  # of a TIFF: nobody knows which value is white
        raise _NoPicture("its pixels are floating-point numbers; save it with 8 or 16 bits")
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

    This inverts none of the 140,000 images of Fashion-MNIST and MNIST, which are light on dark, and
    misses none of their negatives.
    """
    grey = np.asarray(image.convert("L"))
    rows, columns = (max(1, round(side / 14)) for side in grey.shape)
    corners = grey[np.ix_(np.r_[:rows, -rows:0], np.r_[:columns, -columns:0])]
    return bool(np.median(corners) > 127)


def fitted(
    image: Image.Image, shape: tuple[int, int, int], *, inverted: bool = False, fit: Fit = "pad"
) -> np.ndarray:
    """Make uint8 of ``shape`` of an image: grey or RGB, inverted if asked, then fitted.

    Bilinear is what the exported graph uses too, so that both see the same image.
    """
    height, width, channels = shape
    image = image.convert("L" if channels == 1 else "RGB")
    if inverted:
        image = ImageOps.invert(image)
    if fit == "stretch" or image.size == (width, height):  # of that size it stays as it is
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(shape)
    # as ImageOps.pad, which rounds the short side of a 1000 x 1 image to 0: all black
    # (Pillow 13) or an error (before)
    scale = (max if fit == "crop" else min)(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    if fit == "crop":  # only what is seen is made: all of it may be a long strip
        across, down = image.width / size[0], image.height / size[1]
        box = (-left * across, -top * down, (width - left) * across, (height - top) * down)
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    else:
        scaled = image.resize(size, Image.Resampling.BILINEAR)
        image = Image.new(image.mode, (width, height))
        image.paste(scaled, (left, top))
    return np.asarray(image).reshape(shape)


# --- stacks -----------------------------------------------------------------------------------


def read_npz(file: str | Path, largest: int) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file of at most ``largest`` bytes unpacked, but no Python objects.

    Raises what NumPy raises on a damaged file, and ValueError: it is too large or no .npz file.
    """
    with open(file, "rb") as stream:
        loaded: Any = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("this is one array, as in an .npy file")
        with loaded as archive:
            size = sum(member.file_size for member in archive.zip.infolist())
            if size > largest:
                raise ValueError(f"{size:,} bytes unpacked; at most {largest:,} are read")
            arrays = {}
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:  # loading objects could run any code
                    if "Object arrays" not in str(error):
                        raise
            return arrays


def _is_picture_like(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and (
        array.ndim in (2, 3) or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
    )


def _read_stack(file: str) -> np.ndarray:
    """Read the image-like array of an .npy or .npz file; of several, one by its name."""
    with open(file, "rb") as stream:
        is_archive = stream.read(2) == b"PK"
    if is_archive:
        arrays = read_npz(file, _MAX_NPZ_BYTES)
    else:  # mapped: a file that claims more than it has is refused before memory is taken
        arrays = {"": np.load(file, mmap_mode="r", allow_pickle=False)}
    pictures = {name: array for name, array in arrays.items() if _is_picture_like(array)}
    if not pictures:
        shapes = (f"{name} {own.dtype} {list(own.shape)}".strip() for name, own in arrays.items())
        held = ", ".join(shapes)
        raise _NoPicture(
            f"no uint8 [n, h, w], [n, h, w, c] or [h, w] in it; it has {held or 'no arrays'}"
        )
    named = list(pictures) if len(pictures) == 1 else [n for n in _STACK_NAMES if n in pictures]
    if len(named) != 1:
        raise _NoPicture(
            f"several arrays of images: {', '.join(sorted(pictures))}; "
            f"keep one, or name one {choices(_STACK_NAMES)}"
        )
    return pictures[named[0]]


def _reason(error: Exception) -> str:
    if isinstance(error, _NoPicture):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return f"no {choices(FORMATS)} image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    message = str(error).strip() or type(error).__name__
    if isinstance(error, ValueError):  # NumPy's, or read_npz's
        if "pickle" in message or "Python objects" in message:
            return "no array of numbers; Python objects are never loaded"
        if "unpacked" in message:
            return message
    return f"damaged: {message.splitlines()[0]:.200}"
