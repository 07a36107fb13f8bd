"""The datasets that are known by name, from ``catalogue.toml``: facts only, nothing is loaded."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kerascw.errors import CallError, choices


@dataclass(frozen=True)
class CatalogEntry:
    """What is known of a dataset before it is found.

    ``sha256`` are those of the decoded uint8 arrays (train images, train labels, test images,
    test labels) in C order, ``sample_sha256`` the same of the bundled sample;
    ``unordered_sha256`` is blind to the order of the examples
    (:attr:`kerascw.data.Dataset.unordered_sha256`). Where they are not known, ``md5`` are those
    that the authors, or what downloads their files, state for the files.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    counts: tuple[int, int]  # training, test
    sha256: tuple[str, str, str, str] | None = None
    unordered_sha256: str | None = None
    md5: Mapping[str, str] = field(default_factory=dict)  # by file name
    # how its files are laid out: see kerascw.data.sources.LAYOUTS; None: scikit-learn has it
    layout: Literal["idx", "cifar10", "svhn"] | None = None
    folders: tuple[str, ...] = ()  # where in a data directory they may be (.../raw: torchvision)
    tfds: str | None = None
    tfds_train: tuple[str, ...] = ("train",)  # TFDS' splits that are the training set
    raw_unit: int = 1  # pixels are the published values times this
    system: Path | None = None  # where the system's package puts the files
    package: str | None = None
    sample: Path | None = None  # the folder of the bundled sample
    sample_sha256: tuple[str, str, str, str] | None = None
    light_on_dark: bool = False  # the background is black; photographs on white need inverting


_HERE = Path(__file__).parent


def _entry(name: str, facts: dict[str, Any]) -> CatalogEntry:
    facts = {key: tuple(fact) if isinstance(fact, list) else fact for key, fact in facts.items()}
    paths: Any = {key: _HERE / facts[key] for key in ("system", "sample") if key in facts}
    return CatalogEntry(name, **facts | paths)


CATALOG = {
    name: _entry(name, facts)
    for name, facts in tomllib.loads((_HERE / "catalogue.toml").read_text("utf-8")).items()
}


def entry_for(name: str) -> CatalogEntry:
    """Return the catalogue's entry, or raise a :class:`CallError` with the choices."""
    try:
        return CATALOG[name]
    except KeyError:
        raise CallError(
            f"data.name: no dataset {name!r}; choose {choices(CATALOG, name)}, or a path"
        ) from None
