"""Small pictures for TensorBoard, drawn pixel by pixel: matplotlib takes thirty times as long.

Rows and columns are classes or pictures; shades and colours are those of
:mod:`kerascw.report.figures`, which draws for the report.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

BLUE, GREEN, RED, GREY = (8, 48, 107), (0, 122, 94), (181, 48, 60), (118, 118, 118)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GAP = 4  # pixels between pictures


def confusion(matrix: np.ndarray, names: Sequence[str]) -> "Image.Image":
    """Return a confusion matrix: a cell's shade is the share of its truth, a row, by square root.

    Parameters
    ----------
    matrix : int ``[classes, classes]``, rows are truths. Counts and names are written where the
        cells are large enough for them.
    """
    from PIL import Image, ImageDraw

    n = len(names)
    cell = int(np.clip(640 // n, 4, 44))
    shares = np.sqrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))[..., None]
    shades = np.round(255 + shares * (np.array(BLUE) - 255)).astype(np.uint8)
    cells = Image.fromarray(shades.repeat(cell, 0).repeat(cell, 1))
    font = _font(12 if cell >= 16 else 9)
    named = cell >= 11
    longest = max(_width(name, font) for name in names) if named else 0
    margin = 2 * GAP + 18 + longest
    picture = Image.new("RGB", (margin + n * cell + 1, margin + n * cell + 1), WHITE)
    picture.paste(cells, (margin, margin))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((margin - 1, margin - 1, margin + n * cell, margin + n * cell), outline=GREY)
    middle = margin + n * cell // 2
    draw.text((middle, GAP), "prediction", GREY, font, anchor="ma")
    _sideways(picture, (GAP, middle), "truth", GREY, font, anchor="mm")
    for number, name in enumerate(names if named else ()):
        at = margin + number * cell + cell // 2
        draw.text((margin - GAP, at), name, BLACK, font, anchor="rm")
        if longest <= cell - GAP:
            draw.text((at, margin - GAP), name, BLACK, font, anchor="mb")
        else:
            _sideways(picture, (at, margin - GAP), name, BLACK, font, anchor="lm")
    for truth, guess in np.argwhere(matrix) if cell >= 26 else ():
        centre = margin + guess * cell + cell // 2, margin + truth * cell + cell // 2
        count = str(matrix[truth, guess])
        size = next(s for s in (12, 10, 8, 6) if s == 6 or _width(count, _font(s)) <= cell - 4)
        ink = WHITE if shares[truth, guess, 0] > 0.5 else BLACK
        draw.text(centre, count, ink, _font(size), anchor="mm")
    return picture


def predictions(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    columns: int = 10,
) -> "Image.Image":
    """Return a grid of pictures, below each what it was taken for, and the truth where that is not.

    Parameters
    ----------
    images : uint8 ``[n, height, width, 1 or 3]``.
    probabilities : float ``[n, classes]``.
    labels : int ``[n]``.
    """
    from PIL import Image, ImageDraw

    tiles = [_enlarged(image, 72) for image in images]
    font, line = _font(11), 14
    across, down = max(96, tiles[0].width), tiles[0].height + 2 * line + GAP
    columns = min(columns, len(tiles))
    size = columns * (across + GAP) - GAP, -(-len(tiles) // columns) * (down + GAP) - GAP
    picture = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(picture)
    for number, tile in enumerate(tiles):
        left, top = number % columns * (across + GAP), number // columns * (down + GAP)
        picture.paste(tile, (left + (across - tile.width) // 2, top))
        guess, truth = int(probabilities[number].argmax()), int(labels[number])
        right, middle, below = guess == truth, left + across // 2, top + tile.height + 2
        share = f" {probabilities[number, guess]:.0%}"
        said = _cut(names[guess], across - _width(share, font), font) + share
        draw.text((middle, below), said, GREEN if right else RED, font, anchor="ma")
        if not right:
            said = _cut(f"not {names[truth]}", across, font)
            draw.text((middle, below + line), said, BLACK, font, anchor="ma")
    return picture


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray) -> "Image.Image":
    """Return pictures in rows of 16, below each its reconstruction: uint8 ``[n, h, w, 1 or 3]``."""
    from PIL import Image

    columns, pairs = 16, list(zip(originals, reconstructed, strict=True))
    tiles = [tuple(_enlarged(image, 48) for image in pair) for pair in pairs]
    columns = min(columns, len(tiles))
    across, down = tiles[0][0].width + GAP, 2 * tiles[0][0].height + 3 * GAP
    picture = Image.new("RGB", (columns * across - GAP, -(-len(tiles) // columns) * down), WHITE)
    for number, (above, below) in enumerate(tiles):
        left, top = number % columns * across, number // columns * down
        picture.paste(above, (left, top))
        picture.paste(below, (left, top + above.height + 1))
    return picture


def png(picture: "Image.Image") -> tuple[bytes, int, int]:
    """Return the picture as a PNG file's bytes, with its width and height."""
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=6)
    return content.getvalue(), picture.width, picture.height


def _enlarged(image: np.ndarray, least: int) -> "Image.Image":
    """Return one uint8 picture, each pixel as many as make it about ``least`` wide."""
    from PIL import Image

    scale = max(1, round(least / image.shape[1]))
    pixels = np.broadcast_to(image, (*image.shape[:2], 3))  # grey: to all three
    return Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))


@lru_cache
def _font(size: int) -> Any:
    """Return matplotlib's own DejaVu Sans, which has more letters than Pillow's font.

    matplotlib itself is not imported: that takes longer than all pictures of a run.
    """
    from PIL import ImageFont

    spec = find_spec("matplotlib")
    assert spec is not None, "matplotlib is installed with us"
    assert spec.origin is not None, "matplotlib is a package with a file"
    fonts = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), size)


def _width(text: str, font: Any) -> int:
    return round(font.getlength(text))


def _cut(text: str, width: int, font: Any) -> str:
    """Return the text, shortened to so many pixels."""
    if _width(text, font) <= width:
        return text
    while text and _width(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"


def _sideways(
    picture: "Image.Image",
    at: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    font: Any,
    anchor: str,
) -> None:
    """Write upwards from ``at``, the lowest middle point (``lm``), or around it (``mm``)."""
    from PIL import Image, ImageDraw

    width, height = _width(text, font) + 2, 16
    label = Image.new("RGB", (width, height), WHITE)
    ImageDraw.Draw(label).text((0, height // 2), text, colour, font, anchor="lm")
    turned = label.rotate(90, expand=True)
    left, bottom = at
    if anchor == "mm":
        picture.paste(turned, (left, bottom - width // 2))
    else:
        picture.paste(turned, (left - height // 2, bottom - width))
