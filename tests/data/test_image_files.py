import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from kerascw.data.image_files import LeftOut, Picture, Unreadable, read_pictures
from kerascw.errors import CallError

SHAPE = (28, 28, 1)


def read(*sources, shape=SHAPE, **options):
    return list(read_pictures(sources, shape, **options))


def one(source, shape=SHAPE, **options):
    [found] = read(source, shape=shape, **options)
    assert isinstance(found, Picture), found
    assert found.array.dtype == np.uint8
    assert found.array.shape == shape
    return found.array


def reason(source, **options):
    *_, found = read(source, **options)
    assert isinstance(found, Unreadable)
    assert "\n" not in found.reason
    return found.reason


@pytest.fixture
def grey(sample):
    return sample.test.images[0]


@pytest.fixture
def png(grey, tmp_path):
    Image.fromarray(grey[..., 0]).save(tmp_path / "shoe.png")
    return tmp_path / "shoe.png"


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "mode"), [("png", "L"), ("bmp", "RGB"), ("gif", "P")])
def test_lossless_formats_keep_every_pixel(grey, tmp_path, suffix, mode):
    path = tmp_path / f"shoe.{suffix}"
    Image.fromarray(grey[..., 0]).convert(mode).save(path)
    np.testing.assert_array_equal(one(path), grey)
    np.testing.assert_array_equal(one(path, shape=(28, 28, 3)), np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(grey, tmp_path, mode):
    Image.fromarray(grey[..., 0]).convert(mode).save(tmp_path / "shoe.jpg", quality=95)
    difference = one(tmp_path / "shoe.jpg").astype(int) - grey
    assert np.abs(difference).mean() < 4


def test_sixteen_bits(grey, tmp_path):
    Image.fromarray(grey[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(one(tmp_path / "deep.png"), grey)


def test_first_frame_of_a_gif(grey, tmp_path):
    frames = [Image.fromarray(pixels) for pixels in (grey[..., 0], 255 - grey[..., 0])]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(one(tmp_path / "two.gif"), grey)


def test_turned_as_exif_says(grey, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: show it turned to the right
    turned = Image.fromarray(np.rot90(grey[..., 0]).copy())
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(one(tmp_path / "turned.png"), grey)


@pytest.mark.parametrize(("ink", "seen_without_inverting"), [(0, 255), (255, 0)])
def test_a_transparent_logo_comes_out_light_on_dark(tmp_path, ink, seen_without_inverting):
    logo = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    logo.paste((ink, ink, ink, 255), (8, 8, 20, 20))
    logo.save(tmp_path / "logo.png")
    plain = one(tmp_path / "logo.png", light_on_dark=True, invert="no")[..., 0]
    assert plain[0, 0] == seen_without_inverting
    assert plain[14, 14] == ink
    inverted = one(tmp_path / "logo.png", light_on_dark=True)[..., 0]
    assert inverted[0, 0] == 0
    assert inverted[14, 14] == 255


def test_transparent_palette_and_nothing_to_see(tmp_path):
    picture = Image.new("P", (28, 28), 1)
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.paste(0, (8, 8, 20, 20))
    picture.save(tmp_path / "palette.gif", transparency=1)
    assert one(tmp_path / "palette.gif")[[0, 14], [0, 14], 0].tolist() == [0, 255]
    Image.new("LA", (28, 28), (255, 0)).save(tmp_path / "clear.png")
    assert not one(tmp_path / "clear.png").any()


# --- fitting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((280, 140), slice(7, 21), slice(0, 28)),
        ((7, 14), slice(0, 28), slice(7, 21)),
        ((3000, 2), slice(13, 14), slice(0, 28)),
        ((1, 900), slice(0, 28), slice(13, 14)),
        ((1, 1), slice(0, 28), slice(0, 28)),
    ],
)
def test_fits_with_its_aspect_ratio_on_black(tmp_path, size, rows, columns):
    Image.new("L", size, 200).save(tmp_path / "plain.png")
    expected = np.zeros((28, 28), np.uint8)
    expected[rows, columns] = 200
    np.testing.assert_array_equal(one(tmp_path / "plain.png")[..., 0], expected)


def test_shrinks_with_antialias(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (280, 140))
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    assert np.abs(one(tmp_path / "stripes.png").astype(int) - 128).max() < 10


# --- inversion ------------------------------------------------------------------------------


def test_auto_inverts_negatives_and_nothing_else(sample, tmp_path):
    for number, image in enumerate(sample.test.images[:50, ..., 0]):
        Image.fromarray(image).save(tmp_path / f"{number:03}a.png")
        Image.fromarray(255 - image).save(tmp_path / f"{number:03}b.png")
    found = read(tmp_path, light_on_dark=True)
    arrays = np.stack([picture.array for picture in found])
    np.testing.assert_array_equal(arrays[::2], sample.test.images[:50])
    np.testing.assert_array_equal(arrays[1::2], sample.test.images[:50])


@pytest.mark.parametrize(
    ("invert", "light_on_dark", "negative", "stack"),
    [
        ("auto", True, True, False),
        ("auto", False, False, False),
        ("yes", False, True, True),
        ("no", True, False, False),
    ],
)
def test_invert(grey, tmp_path, invert, light_on_dark, negative, stack):
    white = 255 - grey
    Image.fromarray(white[..., 0]).save(tmp_path / "white.png")
    np.save(tmp_path / "white.npy", white)
    options = {"invert": invert, "light_on_dark": light_on_dark}
    for file, inverted in (("white.png", negative), ("white.npy", stack)):
        expected = grey if inverted else white
        np.testing.assert_array_equal(one(tmp_path / file, **options), expected)


def test_calls_that_are_wrong(png):
    with pytest.raises(CallError, match="invert: 'maybe'; choose auto, yes or no"):
        read(png, invert="maybe")
    with pytest.raises(CallError, match="images of 2 channels"):
        read(png, shape=(28, 28, 2))


# --- stacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["[n, h, w]", "[n, h, w, 1]", "[n, h, w, 3]"])
def test_npy_stack(sample, tmp_path, kept):
    images = sample.test.images[:3]
    stack = {
        "[n, h, w]": images[..., 0],
        "[n, h, w, 1]": images,
        "[n, h, w, 3]": np.repeat(images, 3, axis=-1),
    }[kept]
    path = tmp_path / "stack.npy"
    np.save(path, stack)
    found = read(path)
    assert [picture.name for picture in found] == [f"{path}[{i}]" for i in range(3)]
    np.testing.assert_array_equal(np.stack([picture.array for picture in found]), images)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 28, 3), (14, 14), (40, 28)])
def test_npy_of_one_picture(tmp_path, shape):
    np.save(tmp_path / "one.npy", np.full(shape, 77, np.uint8))
    [found] = read(tmp_path / "one.npy")
    assert found.name == str(tmp_path / "one.npy")
    assert found.array[14, 14] == 77


@pytest.mark.parametrize(
    "names", [{"photos": 3, "labels": 1}, {"images": 4, "masks": 4}, {"x": 3, "y": 2}]
)
def test_npz_takes_the_one_array_of_pictures(tmp_path, names):
    arrays = {name: np.zeros((2, 28, 28, 1)[:size], np.uint8) for name, size in names.items()}
    np.savez_compressed(tmp_path / "stack.npz", **arrays, weights=np.zeros((2, 2)))
    found = read(tmp_path / "stack.npz")
    assert [picture.name[-4:] for picture in found] == ["z[0]", "z[1]"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"x_train": np.zeros((2, 9, 9), np.uint8), "x_test": np.zeros((1, 9, 9), np.uint8)},
            "several arrays of images: x_test, x_train; keep one, or name one images, x or arr_0",
        ),
        (
            {"images": np.zeros((2, 9, 9), np.uint8), "x": np.zeros((1, 9, 9), np.uint8)},
            "several arrays of images: images, x;",
        ),
        ({"x": np.zeros((2, 9, 9))}, "in it; it has x float64 [2, 9, 9]"),
        ({"x": np.zeros((2, 9, 9, 5), np.uint8)}, "it has x uint8 [2, 9, 9, 5]"),
        ({}, "it has no arrays"),
    ],
)
def test_npz_that_will_not_do(tmp_path, arrays, said):
    np.savez(tmp_path / "stack.npz", **arrays)
    assert said in reason(tmp_path / "stack.npz")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            np.zeros((2, 28, 28)),
            "[n, h, w, c] or [h, w] in it; it has float64 [2, 28, 28]",
        ),
        (np.zeros(28, np.uint8), "it has uint8 [28]"),
        (np.uint8(2), "it has uint8 []"),
        (np.zeros((2, 28, 28, 2), np.uint8), "it has uint8 [2, 28, 28, 2]"),
        (np.zeros((0, 28, 28), np.uint8), "no images in it: uint8 [0, 28, 28]"),
        (np.zeros((2, 0, 28), np.uint8), "no images in it: uint8 [2, 0, 28]"),
        (np.array([{}, 1], dtype=object), "Python objects are never loaded"),
    ],
)
def test_npy_that_will_not_do(tmp_path, array, said):
    np.save(tmp_path / "stack.npy", array)
    assert said in reason(tmp_path / "stack.npy")


# --- files that cannot be read ----------------------------------------------------------------


def _png_of(width, height):
    """Return a PNG that claims this size and has no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.6])
def test_truncated_pictures(sample, tmp_path, suffix, share):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(sample.test.images[0, ..., 0]).resize((200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert reason(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.png", b"", "no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image"),
        ("text.png", b"hello", "no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image"),
        ("bomb.png", _png_of(30_000, 30_000), "more than 89,478,485 pixels"),
        ("large.png", _png_of(10_000, 10_000), "more than 89,478,485 pixels"),
        ("hollow.png", _png_of(28, 28), "damaged: "),
        ("empty.npy", b"", "damaged: "),
        ("text.npy", b"hello hello hello", "never loaded"),
        ("text.npz", b"hello hello hello", "never loaded"),
        ("zip.npz", b"PK\x03\x04hello", "damaged: "),
    ],
)
def test_reasons(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in reason(tmp_path / name)


def test_truncated_and_overlarge_arrays(sample, tmp_path):
    path = tmp_path / "stack.npy"
    np.save(path, sample.test.images[:10])
    path.write_bytes(path.read_bytes()[:3000])
    assert "damaged" in reason(path)
    header = io.BytesIO()
    huge = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)}
    np.lib.format.write_array_header_1_0(header, huge)
    path.write_bytes(header.getvalue())
    assert reason(path)


def test_npz_bomb(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((2000, 28, 28), np.uint8))
    monkeypatch.setattr("kerascw.data.image_files._MAX_NPZ_BYTES", 10**6)
    assert reason(tmp_path / "bomb.npz").endswith("bytes unpacked; at most 1,000,000 are read")


def test_flipped_bytes_never_crash(png, tmp_path):
    good = bytearray(png.read_bytes())
    draw = np.random.default_rng(0)
    for trial in range(60):
        bad = good.copy()
        for position in draw.integers(0, len(bad), 5):
            bad[position] = draw.integers(256)
        (tmp_path / f"flipped{trial}.png").write_bytes(bad)
    found = read(*sorted(tmp_path.glob("flipped*.png")))
    assert len(found) == 60
    assert any(isinstance(item, Unreadable) for item in found)


def test_no_such_file_or_no_file_at_all(tmp_path):
    assert reason(tmp_path / "missing.png") == "No such file or directory"
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "pipe.png").startswith("not a regular file")
    assert reason("a\0b.png")


# --- folders and standard input -------------------------------------------------------------


def test_folder(png, tmp_path):
    content = png.read_bytes()
    for name in ("b/two.PNG", "b/one.jpg", "a/deep/x.gif", ".hidden/x.png", "._junk.png", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "b" / "stack.npy", np.zeros((2, 28, 28), np.uint8))
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.png").symlink_to(png)
    names = [os.path.relpath(picture.name, tmp_path) for picture in read(tmp_path)]
    assert names == [
        "linked.png",
        "shoe.png",
        "a/deep/x.gif",
        "b/one.jpg",
        "b/stack.npy[0]",
        "b/stack.npy[1]",
        "b/two.PNG",
        "a.txt",
    ]
    assert isinstance(read(tmp_path)[-1], LeftOut)


def test_empty_folder(tmp_path):
    (tmp_path / "notes.txt").touch()
    none, other = read(tmp_path)
    assert other == LeftOut(str(tmp_path / "notes.txt"), "no image by its name")
    assert none.reason.startswith("no images in this folder (.apng, .avif, .bmp, .dib, .gif")


def test_standard_input(png, grey):
    stream = io.BytesIO(png.read_bytes())
    first, second = read("-", "-", stdin=stream)
    assert first.name == "-"
    np.testing.assert_array_equal(first.array, grey)
    assert second == Unreadable("-", "no PNG, JPEG, WEBP, TIFF, BMP, GIF or AVIF image")


def test_real_standard_input_and_no_tensorflow(png):
    code = """
import sys
from kerascw.data.image_files import read_pictures
print([picture.array.shape for picture in read_pictures(["-"], (28, 28, 1))])
assert "tensorflow" not in sys.modules
"""
    with png.open("rb") as file:
        done = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True)
    assert done.stdout.strip() == b"[(28, 28, 1)]", done.stderr
