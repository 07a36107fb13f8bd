"""Load a dataset by its name, from a path, or from arrays."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from kerascw.data import arrays, folder, items, tfds
from kerascw.data.catalogue import CATALOG, entry_for
from kerascw.data.dataset import Dataset, Splits
from kerascw.data.own import Options
from kerascw.data.sources import find
from kerascw.data.splits import split
from kerascw.errors import CallError, DataError, option, printable
from kerascw.experiment.own_file import is_function
from kerascw.experiment.settings import validated
from kerascw.experiment.spec import DataSpec, Folder

FOLDER = "folder:"
"""What may stand before a path: it is a path then, whatever the catalogue has."""

Data = Any  # str | Path | tuple of arrays, or an object with items
"""How a dataset is named: see :func:`load_data`."""


def load_data(
    data: Data, *, data_dir: str | Path | None = None, sample: bool = False, **options: Any
) -> Dataset:
    """Load a dataset: a catalogued one from the first source that has it, or one's own images.

    Parameters
    ----------
    data : one of

        - a name of :data:`CATALOG`, such as ``fashion_mnist``;
        - a folder of images (:mod:`kerascw.data.folder`), as its path or ``folder:PATH``;
        - a ``.csv`` file that lists images (:func:`kerascw.data.listing.list_manifest`);
        - an ``.npz`` file of arrays, or ``(x_train, y_train)`` or ``(x_train, y_train, x_test,
          y_test)`` (:mod:`kerascw.data.arrays`);
        - a dataset of torch or Hugging Face, or anything else with ``len`` and items of
          (image, label) (:mod:`kerascw.data.items`);
        - ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``, which returns such arrays;
        - ``tfds:NAME`` or ``tfds:NAME/CONFIG`` (:mod:`kerascw.data.tfds`).
    data_dir : a folder with a catalogued dataset's files; see :func:`kerascw.data.sources.find`.
    sample : take the bundled sample instead of the whole dataset.
    options : of one's own images, as :func:`data_named` takes them.

    Raises CallError, DataError: one line each, before anything is trained.

    >>> data = load_data("fashion_mnist", sample=True)
    >>> data.train.images.shape, data.train.images.dtype
    ((6000, 28, 28, 1), dtype('uint8'))
    """
    return load_for(data_named(data, **options), data_dir=data_dir, sample=sample)


def data_named(data: Data | DataSpec, **options: Any) -> DataSpec:
    """Return the spec of a whole dataset, named as for :func:`load_data`; a spec is returned.

    Arrays are written into the cache folder, so that other processes find them. ``options`` are the
    fields of :class:`kerascw.data.own.Options`; after ``folder:`` the ``fit`` is ``pad`` where none
    is asked for, as it always was.
    """
    asked: Options = validated(Options, options, "data: ")
    if isinstance(data, DataSpec):
        return data
    if items.is_items(data):
        data = arrays.keep(items.arrays_of(data))
    elif isinstance(data, tuple):
        data = arrays.keep(data)
    elif not isinstance(data, str | Path):
        raise CallError(
            f"data: {type(data).__name__}; expected a name, a path, a tuple of arrays or a dataset"
        )
    name = str(data)
    if name in CATALOG or not (isinstance(data, Path) or _is_path(name)):
        spec = DataSpec(name=entry_for(name).name)
        for given in ("size", "fit"):
            if getattr(asked, given) is not None:
                raise CallError(f"{option(given)}: {name} has images of one shape; leave it out")
        return spec
    if name.startswith(FOLDER):
        name = name.removeprefix(FOLDER)
        asked = asked.model_copy(update={"fit": asked.fit or "pad"})
    return DataSpec(name="folder", folder=_reader(name)[0](name, asked))


def _is_path(name: str) -> bool:
    is_file = "/" in name or name.lower().endswith((".csv", ".npz"))
    named = name.startswith((FOLDER, tfds.PREFIX)) or is_function(name)
    return is_file or named or Path(name).expanduser().is_dir()


def _reader(path: str) -> tuple[Callable[[str, Options], Folder], Callable[[Folder], Dataset]]:
    """Return what describes and what loads images of one's own."""
    if path.startswith(tfds.PREFIX):
        return tfds.describe_tfds, tfds.load_tfds
    if path.lower().endswith(".npz") or is_function(path):
        return arrays.describe_arrays, arrays.load_arrays
    return folder.describe_folder, folder.load_folder


def data_label(spec: DataSpec) -> str:
    """Name a dataset for people; :func:`data_named` takes that name, too.

    >>> data_label(DataSpec(name="mnist"))
    'mnist'
    """
    if spec.folder is None:
        return spec.name
    path = spec.folder.path
    return path if path.startswith(tfds.PREFIX) else FOLDER + path


def load_for(
    spec: DataSpec, *, data_dir: str | Path | None = None, sample: bool = False
) -> Dataset:
    """Load the dataset that a spec names."""
    if spec.folder is None:
        return _catalogued(spec.name, data_dir, sample or spec.sample)
    if sample or spec.sample:
        raise CallError(f"{option('sample', True)}: no sample of a folder is bundled")
    return _reader(spec.folder.path)[1](spec.folder)


@lru_cache(maxsize=4)
def _loaded(whole: DataSpec, data_dir: Path | None) -> Dataset:
    return load_for(whole, data_dir=data_dir)


def dataset_for(spec: DataSpec, data_dir: str | Path | None = None) -> Dataset:
    """Load the dataset of an experiment, once a process."""
    whole = DataSpec(name=spec.name, sample=spec.sample, folder=spec.folder)
    return _loaded(whole, None if data_dir is None else Path(data_dir))


@lru_cache(maxsize=1)  # training, report and export ask for the same splits, one after the other
def splits_for(spec: DataSpec, data_dir: str | Path | None = None) -> Splits:
    """Split the dataset of a spec as it says; the last splits stay in memory."""
    return split(dataset_for(spec, data_dir), spec)


def _catalogued(name: str, data_dir: str | Path | None, sample: bool) -> Dataset:
    """Load a dataset of the catalogue from the first source that has it."""
    entry = entry_for(name)
    dataset = find(entry, data_dir, sample)
    sha256 = tuple(dataset.sha256.values())
    if sha256 == entry.sample_sha256:  # even where a data directory holds a copy of it
        return replace(dataset, source="sample")
    for other in CATALOG.values():  # MNIST's files and Fashion-MNIST's have the same names
        if other.name != name and sha256 in (other.sha256, other.sample_sha256):
            raise DataError(
                f"{printable(dataset.location)}: these files are {other.title}, not {entry.title}; "
                f"ask for {other.name}, or name the folder with {entry.title}'s files"
            )
    return dataset
