"""Datasets: find them, check them, split them.

Importing this loads none of its modules: ``predict`` reads images (:mod:`kerascw.data.image_files`)
in less than a second, without the specs, and Pydantic, that loading a dataset needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascw.data.catalogue import CATALOG
    from kerascw.data.dataset import Dataset, Part, Splits, mean_and_deviation, pixel_histogram
    from kerascw.data.load import FOLDER, data_label, data_named, dataset_for, load_data, load_for
    from kerascw.data.splits import split

__all__ = [
    "CATALOG",
    "FOLDER",
    "Dataset",
    "Part",
    "Splits",
    "data_label",
    "data_named",
    "dataset_for",
    "load_data",
    "load_for",
    "mean_and_deviation",
    "pixel_histogram",
    "split",
]


def __getattr__(name: str) -> Any:
    for module in ("catalogue", "dataset", "splits", "load") if name in __all__ else ():
        found = import_module(f"kerascw.data.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
