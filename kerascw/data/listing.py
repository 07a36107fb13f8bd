"""List which image files a dataset has, by split and class: of a folder, or of a CSV manifest.

No image is opened here; of a folder the layout is checked, of a manifest each line.
"""

import csv
import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kerascw.data.image_files import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from kerascw.data.names import is_text, shown
from kerascw.errors import DataError, choices

PARTS = ("train", "validation", "test")
_PART_NAMES = {
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
    size: int  # bytes; -1 of what is no regular file
    mtime: int  # nanoseconds


@dataclass(frozen=True)
class Listing:
    """The image files of a dataset by split, class and path, in whatever order they were found.

    ``left_out`` names other files that lie among them, each with the reason.
    """

    root: str
    class_names: tuple[str, ...]
    files: tuple[ImageFile, ...]
    left_out: tuple[str, ...] = ()


# --- a folder -----------------------------------------------------------------------------------


class _Contents(NamedTuple):
    """What is directly in a folder, by name, without what is hidden."""

    folders: list[str]
    images: list[os.DirEntry[str]]
    others: list[str]


def _contents(folder: str) -> _Contents:
    found = _Contents([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = entry.name
                if name.startswith(".") or name.lower() in _JUNK:
                    continue
                if _is_folder(entry):
                    found.folders.append(name)
                elif _suffix(name) in IMAGE_SUFFIXES:
                    found.images.append(entry)
                elif os.path.exists(entry.path):  # a link that leads nowhere is passed over
                    found.others.append(name)
    except FileNotFoundError:
        raise DataError(f"{shown(folder)}: no such folder; {_EXPECTED}") from None
    except NotADirectoryError:
        raise DataError(f"{shown(folder)}: this is a file, not a folder; {_EXPECTED}") from None
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: this folder cannot be read ({error.strerror}); "
            "mend it, or leave it out of the dataset"
        ) from None
    return found


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a folder, or a link to one; asks the system about links only."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def list_folder(root: str) -> Listing:
    """List a folder's classes and image files, having checked its layout.

    Class names are the folders' names in Unicode NFC, with control characters escaped.
    """
    own_parts = _part_folders(root)
    train = os.path.join(root, own_parts["train"]) if own_parts else root
    classes = _class_folders(train)
    if not classes:
        direct = len(_contents(train).images)
        found = f", its {direct:,} images lie directly in it" if direct else " and no images"
        raise DataError(f"{shown(train)}: no class folders{found}; {_EXPECTED}")
    if len(classes) == 1:
        [(name, folder)] = classes.items()
        inside = os.path.join(train, folder)
        hint = f" (or is {shown(inside)} meant?)" if len(_contents(inside).folders) > 1 else ""
        raise DataError(f"{shown(train)}: only one class folder, {name}{hint}; {_EXPECTED}")
    files: list[ImageFile] = []
    left_out = _outside(root, own_parts)
    for part in PARTS:
        if part not in (own_parts or {"train"}):
            continue
        below = own_parts.get(part, "")
        folders = classes if part == "train" else _class_folders(os.path.join(root, below))
        for name, folder in folders.items():
            if name not in classes:
                raise DataError(
                    f"{shown(root)}: {shown(f'{below}/{folder}')} is no class, "
                    f"{own_parts['train']} has no folder of this name; add it there or remove it"
                )
        before = len(files)
        for label, name in enumerate(classes):  # another split may lack a class
            if name in folders:
                relative = os.path.join(below, folders[name])
                found_files, others = _files_of_class(root, part, label, relative)
                files += found_files
                left_out += others
        if len(files) == before:
            raise DataError(
                f"{shown(root)}: no images in {shown(below)}; add some, or remove the folder"
            )
    return Listing(root, tuple(classes), tuple(files), tuple(left_out))


def _outside(root: str, own_parts: dict[str, str]) -> list[str]:
    """Name images that lie in no class folder, and folders that belong to no split."""
    left_out = []
    for below in ("", *own_parts.values()):
        contents = _contents(os.path.join(root, below) if below else root)
        unread = [name for name in contents.others if _suffix(name) in UNREAD_SUFFIXES]
        for name in (*(entry.name for entry in contents.images), *unread):
            left_out.append(f"{shown(os.path.join(below, name))} (in no class folder)")
        if own_parts and not below:
            left_out += [
                f"{shown(name)}/ (no train, validation or test folder)"
                for name in contents.folders
                if name not in own_parts.values()
            ]
    return left_out


def _part_folders(root: str) -> dict[str, str]:
    """Find the train, validation and test folders; none where the classes lie in root.

    A class may be called train, too: it is a class where it lies beside folders that are no
    splits and has no folders in it.
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
                    f"{shown(root)}: a folder {named[part][0]} with folders in it, but none named "
                    f"train; {_EXPECTED}"
                )
        return {}
    is_alone = set(named) == {"train"} and len(folders) > len(named["train"])
    if is_alone and not holds_folders("train"):
        return {}
    for part, names in named.items():
        if len(names) > 1:
            raise DataError(
                f"{shown(root)}: {names[0]} and {names[1]} both stand for the {part} set; "
                "keep one of these folders"
            )
    return {part: names[0] for part, names in named.items()}


def _class_folders(folder: str) -> dict[str, str]:
    """Find the class folders: their names by the class's name, sorted by that."""
    classes: dict[str, str] = {}
    for name in _contents(folder).folders:
        if not is_text(name):
            raise DataError(f"{shown(folder)}: {shown(name)} is no valid Unicode; rename it")
        normal = shown(unicodedata.normalize("NFC", name))
        if normal in classes:
            raise DataError(
                f"{shown(folder)}: two folders are named {normal}, in different Unicode "
                "forms; merge them into one"
            )
        classes[normal] = name
    return dict(sorted(classes.items()))


def _files_of_class(
    root: str, part: str, label: int, folder: str
) -> tuple[list[ImageFile], list[str]]:
    """Find the images at any depth below ``folder``, sorted by path, and name all other files.

    Linked folders are followed, but a folder is entered once, whatever path leads to it, and none
    that the class lies in.
    """
    top = os.path.join(root, folder)
    seen = {os.path.realpath(path) for path in Path(top).parents}
    seen.update(map(str, Path(os.path.realpath(top)).parents))
    files: list[ImageFile] = []
    others: list[str] = []
    pending = [folder]
    while pending:
        name = pending.pop()
        path = os.path.join(root, name)
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        contents = _contents(path)
        others += [f"{name}/{other}" for other in contents.others]
        files += [
            _image_file(part, label, f"{name}/{entry.name}", entry.path)
            for entry in contents.images
        ]
        pending += [f"{name}/{inner}" for inner in contents.folders]
    if not files and (others or part == "train"):
        found = "nothing is there"
        if others:
            found = f"{len(others):,} other files there, such as {shown(min(others))}"
        raise DataError(
            f"{shown(root)}: class {shown(folder)} has no images ({found}); expected "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}; add some, or remove the folder"
        )
    files.sort(key=lambda file: (unicodedata.normalize("NFC", file.name), file.name))
    reasons = [
        f"{shown(other)} ({_suffix(other)} is not read)"
        if _suffix(other) in UNREAD_SUFFIXES
        else f"{shown(other)} (no image by its name)"
        for other in sorted(others)
    ]
    return files, reasons


def _image_file(part: str, label: int, name: str, path: str) -> ImageFile:
    try:
        facts = os.stat(path)
    except (OSError, ValueError):  # not there, or no path at all: reported when it is read
        return ImageFile(part, label, name, path, -1, -1)
    size = facts.st_size if stat.S_ISREG(facts.st_mode) else -1
    return ImageFile(part, label, name, path, size, facts.st_mtime_ns)


# --- a manifest ---------------------------------------------------------------------------------


def list_manifest(file: str) -> Listing:
    """List the image files that a CSV file names, one a line.

    Its columns are ``path`` (relative to the file's folder, or absolute), ``label`` and, if there,
    ``split`` (train, validation or test, in the spellings of the folders; empty: train); others
    are passed over. It is UTF-8, with a header. The files are in the order of split, class, path.

    Raises
    ------
    DataError
        Names the file, and the line that is wrong.
    """
    rows: dict[str, tuple[str, str, int]] = {}
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                has = ", ".join(shown(name)[:40] for name in reader.fieldnames or ()) or "none"
                raise DataError(
                    f"{shown(file)}: no column {min(missing)} (it has {has:.100}); expected the "
                    "header path,label or path,label,split"
                )
            for row in reader:
                where = f"{shown(file)}, line {reader.line_num}"
                path, part, label = _checked_row(row, where)
                if path in rows:
                    raise DataError(
                        f"{where}: {shown(path)} stands in line {rows[path][2]} already; an image "
                        "belongs to one class and one split"
                    )
                rows[path] = (part, label, reader.line_num)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{shown(file)}: it is not UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{shown(file)}: no CSV file ({error})") from None
    class_names = tuple(sorted({label for part, label, _ in rows.values() if part == "train"}))
    for part, label, line in rows.values():
        if label not in class_names:
            raise DataError(
                f"{shown(file)}, line {line}: no training image has the label {label} of this "
                f"{part} image"
            )
    if len(class_names) < 2:
        raise DataError(
            f"{shown(file)}: {len(class_names)} labels among its training images; "
            "expected 2 or more"
        )
    base = os.path.dirname(file)
    files = [
        _image_file(part, class_names.index(label), path, os.path.join(base, path))
        for path, (part, label, _) in rows.items()
    ]
    files.sort(key=lambda file: (PARTS.index(file.part), file.label, file.name))
    return Listing(file, class_names, tuple(files))


def _checked_row(row: dict[str, str], where: str) -> tuple[str, str, str]:
    """Return path, split and label of a manifest's line."""
    path, label = (row.get(name) or "" for name in ("path", "label"))
    if not path or not label.strip():
        raise DataError(f"{where}: no {'label' if path else 'path'}; every line needs both")
    split = (row.get("split") or "train").strip()
    if split.lower() not in _PART_NAMES:
        raise DataError(f"{where}: split {shown(split)!r}; choose {choices(PARTS)}")
    return path, _PART_NAMES[split.lower()], shown(unicodedata.normalize("NFC", label.strip()))
