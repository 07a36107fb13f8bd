"""A folder of pictures as a dataset: PNG, JPEG, BMP and GIF files, in a folder for every class.

Either ``PATH/train/CLASS/...``, with ``PATH/test/CLASS/...`` and ``PATH/val/CLASS/...`` where there
are any (names in any case; also ``training``, ``testing``, ``valid`` and ``validation``), or
``PATH/CLASS/...``. Without a test folder a stratified part is drawn for it.

What is decoded is kept in a cache folder (:func:`cache_folder`), so it is decoded once.
"""

import hashlib
import os
import stat
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from kerascw.data.catalog import CatalogEntry
from kerascw.errors import CallError, DataError
from kerascw.spec import Folder

if TYPE_CHECKING:
    from kerascw.data import Dataset

__all__ = ["cache_folder", "describe_folder", "load_folder"]

ENVIRONMENT_VARIABLE = "KERASCW_CACHE_DIR"

LARGEST_SIDE = 96
"""Pixels up to which pictures that are all of one size keep it where none is asked for."""

USUAL_SIDE = 32
"""Pixels a side where no size is asked for and the pictures do not decide it."""

_PARTS = ("train", "validation", "test")
_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_EXPECTED = "expected a folder for every class, or a train and a test folder with these in each"
_JUNK = {"__macosx", "thumbs.db"}  # what archives and file managers leave behind
_CACHE_FORMAT = 1  # raised whenever the same files would be decoded to other arrays
_ORIENTATION = 0x0112  # EXIF: 5 to 8 are turned by a quarter, so height and width change places
_PATIENCE = 2.0  # seconds without a word
_CHUNK = 64  # files that a thread reads at a time
_NAMED = 3  # unreadable files that a message names

_T = TypeVar("_T")


class _File(NamedTuple):
    """A picture file. ``name`` is its path below the dataset's folder, with ``/``."""

    part: str
    label: int
    name: str
    path: str
    size: int  # bytes; -1 of what is no regular file
    mtime: int  # nanoseconds


@dataclass(frozen=True)
class _Listing:
    """The picture files of a dataset by part, class and path, whatever order they were found in."""

    root: str
    class_names: tuple[str, ...]
    files: tuple[_File, ...]


def describe_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    colour: bool | None = None,
    bad_files: Literal["fail", "skip"] = "fail",
) -> Folder:
    """Return the spec of a folder of pictures; of the files no more than the headers is read.

    Parameters
    ----------
    path : the folder; see :mod:`kerascw.data.folder` for its layout.
    size : height and width, in pixels, that every picture is brought to. None: their own size if
        it is one and the same, of at most 96 pixels a side; else 32 x 32.
    colour : RGB or grey. None: grey if every picture is grey.
    bad_files : what :func:`load_folder` does about pictures that cannot be read.

    Raises
    ------
    CallError
        A size below one pixel.
    DataError
        The folder is not there, or its layout is another.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise CallError(f"size: {size}; expected height and width of 1 pixel or more")
    root = os.path.abspath(os.path.expanduser(path))
    if not _is_text(root):
        raise DataError(f"{_shown(root)}: this path is no valid Unicode; rename the folder")
    listing = _listed(root)
    if size is None or colour is None:
        common_size, any_colour = _in_common(listing.files, size is None, colour is None)
        size = size or common_size or (USUAL_SIDE, USUAL_SIDE)
        colour = any_colour if colour is None else colour
    return Folder(path=root, height=size[0], width=size[1], colour=colour, bad_files=bad_files)


def load_folder(spec: Folder) -> "Dataset":
    """Load a folder of pictures, each read and fitted as :mod:`kerascw.pictures` does it.

    The parts are in the order of class, then path. A warning names files that are left out.

    Raises
    ------
    DataError
        The folder's layout is another, pictures cannot be read (unless ``bad_files`` is skip), or
        a class has too few to split a test part off.
    """
    from kerascw.data import Dataset, Part

    listing = _listed(os.path.abspath(spec.path))
    images, bad = _pictures(listing, (spec.height, spec.width, 3 if spec.colour else 1))
    if bad:
        if spec.bad_files == "fail":
            raise DataError(
                f"{_unreadable(listing, bad, '')}; mend or remove them, or leave them out with "
                "--bad-files skip"
            )
        warnings.warn(_unreadable(listing, bad, " and are left out"), stacklevel=2)
    labels = np.fromiter((file.label for file in listing.files), np.int32, len(listing.files))
    rows = _rows_of_parts(listing, labels, bad, spec)
    whole = Part(images, labels)

    def part(chosen: np.ndarray) -> Part:
        first, end = int(chosen[0]), int(chosen[-1]) + 1
        if end - first == len(chosen):  # no gap: no copy
            return Part(images[first:end], labels[first:end])
        return whole.take(chosen)

    parts = {name: part(chosen) for name, chosen in rows.items()}
    entry = CatalogEntry(
        name="folder",
        title=os.path.basename(listing.root) or listing.root,
        class_names=listing.class_names,
        shape=(spec.height, spec.width, 3 if spec.colour else 1),
        counts=(len(parts["train"]), len(parts["test"])),
        layout=None,
    )
    return Dataset(
        entry,
        parts["train"],
        parts["test"],
        source="folder",
        location=listing.root,
        validation=parts.get("validation"),
    )


# --- which files there are --------------------------------------------------------------------


class _Contents(NamedTuple):
    """What is directly in a folder, by name, without what is hidden."""

    folders: list[str]
    pictures: list[os.DirEntry[str]]
    others: list[str]


def _contents(folder: str) -> _Contents:
    from kerascw.pictures import PICTURE_SUFFIXES

    found = _Contents([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = entry.name
                if name.startswith(".") or name.lower() in _JUNK:
                    continue
                if os.path.isdir(entry.path):
                    found.folders.append(name)
                elif os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES:
                    found.pictures.append(entry)
                elif os.path.exists(entry.path):  # links that lead nowhere are passed over
                    found.others.append(name)
    except FileNotFoundError:
        raise DataError(f"{_shown(folder)}: no such folder; {_EXPECTED}") from None
    except NotADirectoryError:
        raise DataError(f"{_shown(folder)}: this is a file, not a folder; {_EXPECTED}") from None
    except OSError as error:
        raise DataError(
            f"{_shown(folder)}: this folder cannot be read ({error.strerror}); "
            "mend it, or leave it out of the dataset"
        ) from None
    return found


def _listed(root: str) -> _Listing:
    """Return the folder's classes and picture files, having checked its layout."""
    own_parts = _part_folders(root)
    train = os.path.join(root, own_parts["train"]) if own_parts else root
    classes = _class_folders(train)
    if not classes:
        direct = len(_contents(train).pictures)
        found = f"its {direct:,} pictures lie directly in it" if direct else "nor pictures in it"
        raise DataError(f"{_shown(train)}: no class folders, {found}; {_EXPECTED}")
    if len(classes) == 1:
        [(name, folder)] = classes.items()
        inside = os.path.join(train, folder)
        hint = f" (or is {_shown(inside)} meant?)" if len(_contents(inside).folders) > 1 else ""
        raise DataError(
            f"{_shown(train)}: only one class folder, {_shown(name)}{hint}; {_EXPECTED}"
        )
    class_names = tuple(classes)
    files: list[_File] = []
    for part in _PARTS if own_parts else ("train",):
        if part not in own_parts and own_parts:
            continue
        below = own_parts.get(part, "")
        folders = classes if part == "train" else _class_folders(os.path.join(root, below))
        for name, folder in folders.items():
            if name not in classes:
                raise DataError(
                    f"{_shown(root)}: {_shown(f'{below}/{folder}')} is no class, "
                    f"{own_parts['train']} has no folder of this name; add it there or remove it"
                )
        before = len(files)
        for label, name in enumerate(class_names):  # another part may lack a class
            if name in folders:
                relative = f"{below}/{folders[name]}" if below else folders[name]
                files += _files_of_class(root, part, label, relative)
        if len(files) == before:
            raise DataError(
                f"{_shown(root)}: no pictures in {_shown(below)}; add some, or remove the folder"
            )
    return _Listing(root, class_names, tuple(files))


def _part_folders(root: str) -> dict[str, str]:
    """Return the names of the train, validation and test folders; none where classes lie in root.

    A class may be called train, too: beside folders of other names, train is a part only where
    it has folders in it.
    """
    folders = _contents(root).folders
    named: dict[str, list[str]] = {}
    for name in folders:
        if name.lower() in _PART_NAMES:
            named.setdefault(_PART_NAMES[name.lower()], []).append(name)

    def holds_folders(part: str) -> bool:
        return any(_contents(os.path.join(root, name)).folders for name in named.get(part, ()))

    if "train" not in named:
        for part in ("test", "validation"):
            if holds_folders(part):
                raise DataError(
                    f"{_shown(root)}: a folder {named[part][0]} with folders in it, but none named "
                    f"train; {_EXPECTED}"
                )
        return {}
    only_parts = sum(map(len, named.values())) == len(folders)
    if not only_parts and not holds_folders("train"):
        return {}
    for part, names in named.items():
        if len(names) > 1:
            raise DataError(
                f"{_shown(root)}: {names[0]} and {names[1]} both stand for the {part} part; "
                "keep one of these folders"
            )
    return {part: names[0] for part, names in named.items()}


def _class_folders(folder: str) -> dict[str, str]:
    """Return, by the class' name in Unicode NFC and sorted by that, the names of the folders."""
    classes: dict[str, str] = {}
    for name in _contents(folder).folders:
        if not _is_text(name):
            raise DataError(f"{_shown(folder)}: {_shown(name)} is no valid Unicode; rename it")
        normal = unicodedata.normalize("NFC", name)
        if normal in classes:
            raise DataError(
                f"{_shown(folder)}: two folders are named {_shown(name)}, in different Unicode "
                "forms; merge them into one"
            )
        classes[normal] = name
    return dict(sorted(classes.items()))


def _files_of_class(root: str, part: str, label: int, folder: str) -> list[_File]:
    """Return the pictures at any depth below ``folder``, a path below root, sorted by path.

    Linked folders are followed, but a folder is entered once, whatever path leads to it, and none
    that the class lies in.
    """
    top = os.path.join(root, *folder.split("/"))
    above = {*Path(top).parents, *Path(os.path.realpath(top)).parents}
    seen = {identity for path in above if (identity := _identity(path)) is not None}
    files: list[_File] = []
    others: list[str] = []
    pending = [folder]
    while pending:
        name = pending.pop()
        path = os.path.join(root, *name.split("/"))
        identity = _identity(path)
        if identity in seen:
            continue
        if identity is not None:
            seen.add(identity)
        contents = _contents(path)
        others += [f"{name}/{other}" for other in contents.others]
        for entry in contents.pictures:
            try:
                facts = entry.stat()
                regular = stat.S_ISREG(facts.st_mode)
                size, mtime = (facts.st_size if regular else -1), facts.st_mtime_ns
            except OSError:  # a link that leads nowhere: reported when it is read
                size = mtime = -1
            files.append(_File(part, label, f"{name}/{entry.name}", entry.path, size, mtime))
        pending += [f"{name}/{inner}" for inner in reversed(contents.folders)]
    if not files and (others or part == "train"):
        from kerascw.pictures import PICTURE_SUFFIXES

        found = f"{len(others):,} other files there, such as {_shown(others[0])}"
        raise DataError(
            f"{_shown(root)}: class {_shown(folder)} has no pictures "
            f"({found if others else 'nothing is there'}); expected {_listed_names(PICTURE_SUFFIXES)}: "
            "add some, or remove the folder"
        )
    return sorted(files, key=lambda file: (unicodedata.normalize("NFC", file.name), file.name))


def _listed_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what is the same for all paths to a folder; None if the system does not say."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if facts.st_ino else None


def _is_text(name: str) -> bool:
    """Return whether a name is Unicode, and not bytes that Python stands surrogates in for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    """Return a name for a message of one line: line breaks and what is no character escaped."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in name
    )


# --- what they have in common -----------------------------------------------------------------


def _in_common(
    files: Iterable[_File], ask_size: bool, ask_colour: bool
) -> tuple[tuple[int, int] | None, bool]:
    """Return height and width if all pictures have the same, small ones, and if any has colour.

    Stops where what is asked is decided. Files without a picture's header do not count.
    """
    from kerascw.pictures import pillow_filters

    sizes: set[tuple[int, int]] = set()
    colour = read = False
    with pillow_filters():
        for file in files:
            header = _header(file) if file.size >= 0 else None  # opening a pipe would hang
            if header is None:
                continue
            read = True
            height, width, has_colour = header
            sizes.add((height, width))
            colour = colour or has_colour
            various = len(sizes) > 1 or max(height, width) > LARGEST_SIDE
            if (various or not ask_size) and (colour or not ask_colour):
                break
    small = {size for size in sizes if max(size) <= LARGEST_SIDE}
    return (small.pop() if len(sizes) == len(small) == 1 else None), colour or not read


def _header(file: _File) -> tuple[int, int, bool] | None:
    """Return height, width, as the picture is shown, and whether it has colour."""
    from PIL import Image

    from kerascw.pictures import FORMATS

    try:
        with open(file.path, "rb") as stream, Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            # a PNG is decoded for its EXIF, so it is not asked for where it decides nothing
            if width != height and max(width, height) <= LARGEST_SIDE:
                if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                    width, height = height, width
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")  # I;16: 16 bits
            return height, width, not grey
    except Exception:  # as in kerascw.pictures: damaged files raise anything
        return None


# --- their pixels -----------------------------------------------------------------------------


def _pictures(listing: _Listing, shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[int, str]]:
    """Return uint8 ``[n, *shape]``, a row for every file, and by row why a file has no picture."""
    files = listing.files
    cached = _cache_file(listing, shape)
    kept = _read_cache(cached, (len(files), *shape)) if cached else None
    if kept is not None:
        images, unread = kept
        # once more: that a file may be read now does not show in its size and time
        bad = _decode(files, images, unread)
        if len(bad) == len(unread):
            return images, bad
    else:
        try:
            images = np.zeros((len(files), *shape), np.uint8)
        except (MemoryError, ValueError):  # ValueError: more than there are addresses
            gigabytes = len(files) * shape[0] * shape[1] * shape[2] / 1e9
            raise DataError(
                f"{listing.root}: {len(files):,} pictures of {shape[0]} x {shape[1]} x {shape[2]} "
                f"need {gigabytes:,.1f} GB, more than there is; take a smaller size"
            ) from None
        bad = _decode(files, images, range(len(files)))
    if cached:
        _write_cache(cached, images, bad)
    return images, bad


def _decode(files: Sequence[_File], images: np.ndarray, rows: Sequence[int]) -> dict[int, str]:
    """Read the files of these rows into ``images``; return by row why a file has no picture."""
    from concurrent.futures import ThreadPoolExecutor

    from kerascw.pictures import Unreadable, fit_picture, pillow_filters

    _, height, width, channels = images.shape

    def read(chunk: Sequence[int]) -> dict[int, str]:
        bad = {}
        for row in chunk:
            picture = fit_picture(files[row].path, (height, width, channels))
            if isinstance(picture, Unreadable):
                bad[row] = picture.reason
                images[row] = 0
            else:
                images[row] = picture.array
        return bad

    bad: dict[int, str] = {}
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    with pillow_filters():
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # Pillow decodes without the GIL
        try:
            for found in _with_progress(pool.map(read, chunks), len(chunks)):
                bad.update(found)
        finally:
            pool.shutdown(cancel_futures=True)  # where the user stops it
    return bad


def _with_progress(results: Iterator[_T], total: int) -> Iterator[_T]:
    """Yield the results; after two seconds, and on a terminal, with a progress line."""
    from kerascw.console import console

    started = time.monotonic()
    terminal = console(sys.stderr)
    for done, result in enumerate(results, 1):
        yield result
        if terminal.is_terminal and time.monotonic() - started > _PATIENCE:
            from rich.progress import track

            yield from track(
                results,
                "reading pictures",
                total=total,
                completed=done,
                console=terminal,
                transient=True,
            )
            return


def _unreadable(listing: _Listing, bad: dict[int, str], and_so: str) -> str:
    """Return one line: how many files have no picture, and the first of them with the reason."""
    named = [f"{_shown(listing.files[row].name)} ({bad[row]})" for row in sorted(bad)[:_NAMED]]
    more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    return (
        f"{_shown(listing.root)}: {len(bad):,} of {len(listing.files):,} pictures cannot be read"
        f"{and_so}: {', '.join(named)}{more}"
    )


# --- parts ------------------------------------------------------------------------------------


def _rows_of_parts(
    listing: _Listing, labels: np.ndarray, bad: dict[int, str], spec: Folder
) -> dict[str, np.ndarray]:
    """Return the sorted rows of train, test and, if there is one, validation; none is empty."""
    readable = np.ones(len(labels), bool)
    readable[list(bad)] = False
    part_of = np.array([_PARTS.index(file.part) for file in listing.files])
    rows = {}
    for number, part in enumerate(_PARTS):
        of_part = part_of == number
        if of_part.any():
            rows[part] = np.flatnonzero(of_part & readable)
            if not len(rows[part]):
                raise DataError(f"{listing.root}: none of the {part} pictures can be read")
    counts = np.bincount(labels[rows["train"]], minlength=len(listing.class_names))
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            raise DataError(
                f"{listing.root}: none of the training pictures of class {_shown(name)} can be "
                "read; mend or remove them"
            )
    if "test" not in rows:
        rows["train"], rows["test"] = _split(listing, rows["train"], labels, counts, spec)
    return rows


def _split(
    listing: _Listing, rows: np.ndarray, labels: np.ndarray, counts: np.ndarray, spec: Folder
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that stay for training and the stratified ones for the test."""
    from sklearn.model_selection import train_test_split

    remedy = "add pictures, or make a train and a test folder"
    if counts.min() < 2:
        name = _shown(listing.class_names[int(counts.argmin())])
        raise DataError(
            f"{listing.root}: class {name} has one picture only, which cannot be split into a "
            f"training and a test part; {remedy}"
        )
    try:
        train, test = train_test_split(
            rows, test_size=spec.test_share, stratify=labels[rows], random_state=spec.seed
        )
    except ValueError:
        train = test = rows[:0]
    missing = np.setdiff1d(np.arange(len(counts)), labels[train])
    if len(missing):  # so also where scikit-learn found fewer pictures than classes in a part
        raise DataError(
            f"{listing.root}: a test_share of {spec.test_share:g} of {len(rows):,} pictures does "
            f"not leave some of all {len(counts):,} classes to train and to test on; {remedy}, or "
            "take another share"
        )
    return np.sort(train), np.sort(test)


# --- the cache --------------------------------------------------------------------------------


def cache_folder() -> Path | None:
    """Return the folder for what can be made anew; None where the user has no home.

    ``KERASCW_CACHE_DIR``, or else a folder kerascw where the platform keeps such files.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local, "kerascw") if local else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "kerascw"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen if os.path.isabs(chosen) else home / ".cache", "kerascw")


def _cache_file(listing: _Listing, shape: tuple[int, int, int]) -> Path | None:
    """Return where the arrays of just these files are kept: named by the folder and a key."""
    import PIL

    folder = cache_folder()
    if folder is None:
        return None
    key = hashlib.sha256(repr((_CACHE_FORMAT, PIL.__version__, shape)).encode())
    for file in listing.files:  # repr escapes names that are not text
        facts = (file.part, listing.class_names[file.label], file.name, file.size, file.mtime)
        key.update(repr(facts).encode())
    place = hashlib.sha256(listing.root.encode()).hexdigest()
    return folder / f"{place[:16]}-{key.hexdigest()[:32]}.npz"


def _read_cache(file: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int]] | None:
    """Return uint8 images of ``shape`` and the rows without a picture; None if not, or damaged."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            images, unread = archive["images"], archive["unread"]
    except Exception:  # a damaged file raises anything; it is made anew
        return None
    if images.shape != shape or images.dtype != np.uint8 or unread.dtype != np.int64:
        return None
    if unread.ndim != 1 or not ((unread >= 0) & (unread < len(images))).all():
        return None
    return images, unread.tolist()


def _write_cache(file: Path, images: np.ndarray, bad: Iterable[int]) -> None:
    """Keep the arrays in place of what is kept of the same folder; not if that cannot be."""
    scratch = None
    with suppress(OSError):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            place = file.name.partition("-")[0]
            with tempfile.NamedTemporaryFile(
                dir=file.parent, prefix=f"{place}-", suffix=".tmp", delete=False
            ) as stream:
                scratch = stream.name
                np.savez(stream, images=images, unread=np.array(sorted(bad), np.int64))
            os.replace(scratch, file)
            scratch = None
            for old in file.parent.glob(f"{place}-*"):  # also what a killed process left
                if old != file:
                    old.unlink(missing_ok=True)
        finally:
            if scratch is not None:
                os.unlink(scratch)
