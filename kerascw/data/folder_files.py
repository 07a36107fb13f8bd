"""Which picture files a folder has, by part and class; its layout is checked, no file is opened."""

import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kerascw.errors import DataError

PARTS = ("train", "validation", "test")
_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_EXPECTED = "expected a folder for every class, or a train and a test folder with these in each"
_JUNK = {"__macosx", "thumbs.db"}  # what archives and file managers leave behind


class PictureFile(NamedTuple):
    """A picture file. ``name`` is its path below the dataset's folder, with ``/``."""

    part: str
    label: int
    name: str
    path: str
    size: int  # bytes; -1 of what is no regular file
    mtime: int  # nanoseconds


@dataclass(frozen=True)
class Listing:
    """The picture files of a dataset by part, class and path, whatever order they were found in."""

    root: str
    class_names: tuple[str, ...]
    files: tuple[PictureFile, ...]


class _Contents(NamedTuple):
    """What is directly in a folder, by name, without what is hidden."""

    folders: list[str]
    pictures: list[os.DirEntry[str]]
    others: list[str]


def _contents(folder: str) -> _Contents:
    from kerascw.data.image_files import PICTURE_SUFFIXES

    found = _Contents([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = entry.name
                if name.startswith(".") or name.lower() in _JUNK:
                    continue
                if _is_folder(entry):
                    found.folders.append(name)
                elif os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES:
                    found.pictures.append(entry)
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


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a folder, or a link to one; asks the system of links only."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def list_files(root: str) -> Listing:
    """Return the folder's classes and picture files, having checked its layout."""
    own_parts = _part_folders(root)
    train = os.path.join(root, own_parts["train"]) if own_parts else root
    classes = _class_folders(train)
    if not classes:
        direct = len(_contents(train).pictures)
        found = f", its {direct:,} pictures lie directly in it" if direct else " and no pictures"
        raise DataError(f"{shown(train)}: no class folders{found}; {_EXPECTED}")
    if len(classes) == 1:
        [(name, folder)] = classes.items()
        inside = os.path.join(train, folder)
        hint = f" (or is {shown(inside)} meant?)" if len(_contents(inside).folders) > 1 else ""
        raise DataError(f"{shown(train)}: only one class folder, {shown(name)}{hint}; {_EXPECTED}")
    class_names = tuple(classes)
    files: list[PictureFile] = []
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
        for label, name in enumerate(class_names):  # another part may lack a class
            if name in folders:
                relative = f"{below}/{folders[name]}" if below else folders[name]
                files += _files_of_class(root, part, label, relative)
        if len(files) == before:
            raise DataError(
                f"{shown(root)}: no pictures in {shown(below)}; add some, or remove the folder"
            )
    return Listing(root, class_names, tuple(files))


def _part_folders(root: str) -> dict[str, str]:
    """Return the names of the train, validation and test folders; none where classes lie in root.

    A class may be called train, too: beside folders that are no parts, it is one of these where
    it has no folders in it.
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
                f"{shown(root)}: {names[0]} and {names[1]} both stand for the {part} part; "
                "keep one of these folders"
            )
    return {part: names[0] for part, names in named.items()}


def _class_folders(folder: str) -> dict[str, str]:
    """Return, by the class' name in Unicode NFC and sorted by that, the names of the folders."""
    classes: dict[str, str] = {}
    for name in _contents(folder).folders:
        if not is_text(name):
            raise DataError(f"{shown(folder)}: {shown(name)} is no valid Unicode; rename it")
        normal = unicodedata.normalize("NFC", name)
        if normal in classes:
            raise DataError(
                f"{shown(folder)}: two folders are named {shown(name)}, in different Unicode "
                "forms; merge them into one"
            )
        classes[normal] = name
    return dict(sorted(classes.items()))


def _files_of_class(root: str, part: str, label: int, folder: str) -> list[PictureFile]:
    """Return the pictures at any depth below ``folder``, a path below root, sorted by path.

    Linked folders are followed, but a folder is entered once, whatever path leads to it, and none
    that the class lies in.
    """
    top = os.path.join(root, *folder.split("/"))
    above = {*Path(top).parents, *Path(os.path.realpath(top)).parents}
    seen = {identity for path in above if (identity := _identity(path)) is not None}
    files: list[PictureFile] = []
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
            files.append(PictureFile(part, label, f"{name}/{entry.name}", entry.path, size, mtime))
        pending += [f"{name}/{inner}" for inner in reversed(contents.folders)]
    if not files and (others or part == "train"):
        from kerascw.data.image_files import PICTURE_SUFFIXES

        found = "nothing is there"
        if others:
            found = f"{len(others):,} other files there, such as {shown(min(others))}"
        raise DataError(
            f"{shown(root)}: class {shown(folder)} has no pictures ({found}); expected "
            f"{', '.join(sorted(PICTURE_SUFFIXES))}; add some, or remove the folder"
        )
    return sorted(files, key=lambda file: (unicodedata.normalize("NFC", file.name), file.name))


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what is the same for all paths to a folder; None if the system does not say."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if facts.st_ino else None


def is_text(name: str) -> bool:
    """Return whether a name is Unicode, and not bytes that Python stands surrogates in for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Return a name for a message of one line: line breaks and what is no character escaped."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in name
    )
