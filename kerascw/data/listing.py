"""List which image files a dataset has, by split and class: of a folder, or of a CSV manifest.

No image is opened here; of a folder the layout is checked, of a manifest each line.
"""

import csv
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kerascw.data.image_files import IMAGE_SUFFIXES
from kerascw.errors import DataError, choices, counted, printable

PARTS = ("train", "validation", "test")
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_EXPECTED = "expected a folder for every class, or a train and a test folder with these in each"
_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}  # what archives and file managers leave behind


class ImageFile(NamedTuple):
    """An image file. ``name`` is its path below the dataset's folder, with ``/``."""

    part: str
    label: int
    name: str
    path: str
    size: int  # bytes; -1 of what is no regular file, or may not be read
    mtime: int  # nanoseconds


@dataclass(frozen=True)
class Listing:
    """The image files of a dataset, in the order of split, class and path.

    ``left_out`` names other files that lie among them, each with the reason.
    """

    root: str
    class_names: tuple[str, ...]
    files: tuple[ImageFile, ...]
    left_out: tuple[str, ...] = ()


def _image_file(part: str, label: int, name: str, path: str) -> ImageFile:
    try:
        facts = os.stat(path)
        whole = stat.S_ISREG(facts.st_mode) and os.access(path, os.R_OK)
    except (OSError, ValueError):  # not there, or no path at all: reported when it is read
        return ImageFile(part, label, name, path, -1, -1)
    return ImageFile(part, label, name, path, facts.st_size if whole else -1, facts.st_mtime_ns)


# --- a folder -----------------------------------------------------------------------------------


def list_folder(root: str) -> Listing:
    """List a folder's classes and image files, having checked its layout.

    Class names are the folders' names in Unicode NFC, with control characters escaped.
    """
    parts = _part_folders(root)
    classes = _class_folders(os.path.join(root, parts["train"]))
    if len(classes) < 2:
        where = printable(os.path.join(root, parts["train"]))
        raise DataError(
            f"{where}: {counted(len(classes), 'class folder')}{''.join(map(' {}'.format, classes))}"
            f"; {_EXPECTED}"
        )
    labels = {name: label for label, name in enumerate(classes)}
    files: list[ImageFile] = []
    left_out = _outside(root, parts)
    for part, below in parts.items():
        before = len(files)
        for name, folder in _class_folders(os.path.join(root, below)).items():
            if name not in labels:
                raise DataError(
                    f"{printable(root)}: {below}/{name} is no class, {parts['train']} has no "
                    "folder of this name; add it there or remove it"
                )
            found = _files_below(root, os.path.join(below, folder))
            images = [file for file in found if _is_image(file)]
            if part == "train" and not images:
                raise DataError(
                    f"{printable(root)}: class {name} has no images "
                    f"({counted(len(found), 'other file')} there); expected "
                    f"{', '.join(sorted(IMAGE_SUFFIXES))}; add some, or remove the folder"
                )
            files += [_image_file(part, labels[name], n, os.path.join(root, n)) for n in images]
            others = (printable(file) for file in found if not _is_image(file))
            left_out += [f"{file} (no image by its name)" for file in others]
        if len(files) == before:
            raise DataError(
                f"{printable(root)}: no images in {below}; add some, or remove the folder"
            )
    return Listing(root, tuple(classes), tuple(files), tuple(left_out))


def _contents(folder: str) -> tuple[list[str], list[str]]:
    """Return the folders and the files directly in a folder, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        reasons = {
            FileNotFoundError: "no such folder",
            NotADirectoryError: "this is a file, not a folder",
        }
        reason = reasons.get(type(error), f"this folder cannot be read ({error.strerror})")
        raise DataError(f"{printable(folder)}: {reason}; {_EXPECTED}") from None
    seen = [(n, d) for n, d in found if not n.startswith(".") and n.lower() not in _JUNK]
    return [name for name, is_dir in seen if is_dir], [name for name, is_dir in seen if not is_dir]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _part_folders(root: str) -> dict[str, str]:
    """Find the folder of each split, by the split; only an empty name where classes lie in root.

    A folder without folders in it is no split: a class may be called train, too.
    """
    found: dict[str, str] = {}
    for name in _contents(root)[0]:
        part = PART_NAMES.get(name.lower())
        if part is None or not _contents(os.path.join(root, name))[0]:
            continue
        if part in found:
            raise DataError(
                f"{printable(root)}: {found[part]} and {name} both stand for the {part} set; "
                "keep one of these folders"
            )
        found[part] = name
    if found and "train" not in found:
        raise DataError(
            f"{printable(root)}: a folder {min(found.values())} with folders in it, but none named "
            f"train; {_EXPECTED}"
        )
    return {part: found[part] for part in PARTS if part in found} or {"train": ""}


def _outside(root: str, parts: dict[str, str]) -> list[str]:
    """Name images that lie in no class folder, and folders that belong to no split."""
    left_out = []
    for below in dict.fromkeys(("", *parts.values())):
        folders, files = _contents(os.path.join(root, below))
        images = (printable(os.path.join(below, name)) for name in files if _is_image(name))
        left_out += [f"{name} (in no class folder)" for name in images]
        if not below and parts["train"]:
            others = (printable(name) for name in folders if name not in parts.values())
            left_out += [f"{name}/ (no train, validation or test folder)" for name in others]
    return left_out


def _class_folders(folder: str) -> dict[str, str]:
    """Find the class folders: their names by the class's name, sorted by that."""
    classes: dict[str, str] = {}
    for name in _contents(folder)[0]:
        normal = printable(unicodedata.normalize("NFC", name))
        if not is_text(name):
            raise DataError(f"{printable(folder)}: {normal} is no valid Unicode; rename it")
        if normal in classes:
            raise DataError(
                f"{printable(folder)}: two folders are named {normal}, in different Unicode "
                "forms; merge them into one"
            )
        classes[normal] = name
    return dict(sorted(classes.items()))


def is_text(name: str) -> bool:
    """Return whether a name is Unicode, without bytes that Python put surrogates in for."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _files_below(root: str, folder: str) -> list[str]:
    """Find the files at any depth below a folder, sorted by path.

    Linked folders are followed, but a folder is entered once, whatever path leads to it, and none
    that the class lies in.
    """
    top = os.path.realpath(os.path.join(root, folder))
    seen = set(map(str, Path(top).parents))
    files: list[str] = []
    pending = [folder]
    while pending:
        name = pending.pop()
        path = os.path.join(root, name)
        if os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            folders, names = _contents(path)
            files += [f"{name}/{file}" for file in names]
            pending += [f"{name}/{inner}" for inner in reversed(folders)]
    return sorted(files, key=lambda file: (unicodedata.normalize("NFC", file), file))


# --- a manifest ---------------------------------------------------------------------------------


@contextmanager
def csv_reader(file: str | Path, where: str) -> Iterator[csv.DictReader]:
    """Open a CSV file in UTF-8, with a header; raises a DataError where it cannot be read."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            yield csv.DictReader(stream)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{where}: it is not UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{where}: no CSV file ({error})") from None


def columns_of(reader: csv.DictReader) -> str:
    """Name the columns that a file has, for an error."""
    return printable(", ".join(reader.fieldnames or ()))[:100] or "none"


def list_manifest(file: str) -> Listing:
    """List the image files that a CSV file names, one a line.

    Its columns are ``path`` (relative to the file's folder, or absolute), ``label`` and, if there,
    ``split`` (train, validation or test, in the spellings of the folders; empty: train); others
    are passed over. It is UTF-8, with a header.

    Raises DataError: names the file, and the line that is wrong.
    """
    where = printable(file)
    rows: dict[str, tuple[str, str, int]] = {}
    with csv_reader(file, where) as reader:
        missing = {"path", "label"}.difference(reader.fieldnames or ())
        if missing:
            raise DataError(
                f"{where}: no column {min(missing)} (it has {columns_of(reader)}); expected the "
                "header path,label or path,label,split"
            )
        for row in reader:
            path, label, split = (
                (row.get(name) or "").strip() for name in ("path", "label", "split")
            )
            line = f"{where}, line {reader.line_num}"
            if not path or not label:
                raise DataError(f"{line}: no {'label' if path else 'path'}; a line needs both")
            path = os.path.normpath(path)  # or 0.png and ./0.png might be in train and test
            if split and split.lower() not in PART_NAMES:
                raise DataError(f"{line}: split {printable(split)!r}; choose {choices(PARTS)}")
            if path in rows:
                raise DataError(
                    f"{line}: {printable(path)} stands in line {rows[path][2]} already; an "
                    "image belongs to one class and one split"
                )
            label = printable(unicodedata.normalize("NFC", label))
            rows[path] = (PART_NAMES[split.lower() or "train"], label, reader.line_num)
    class_names = tuple(sorted({label for part, label, _ in rows.values() if part == "train"}))
    for part, label, number in rows.values():
        if label not in class_names:
            raise DataError(
                f"{where}, line {number}: no training image has the label {label} of this {part} "
                "image"
            )
    if len(class_names) < 2:
        raise DataError(
            f"{where}: {counted(len(class_names), 'label')} among its training images; expected 2 "
            "or more"
        )
    files = [
        _image_file(part, class_names.index(label), path, os.path.join(os.path.dirname(file), path))
        for path, (part, label, _) in rows.items()
    ]
    files.sort(key=lambda file: (PARTS.index(file.part), file.label, file.name))
    return Listing(file, class_names, tuple(files))
