"""Datasets: find them, check them, split them. Importing this loads NumPy and no TensorFlow."""

from kerascw.data.catalogue import CATALOG
from kerascw.data.dataset import (
    LARGE,
    Dataset,
    Part,
    Splits,
    mean_and_deviation,
    pixel_histogram,
)
from kerascw.data.load import FOLDER, data_label, data_named, dataset_for, load_data, load_for
from kerascw.data.rows import Rows
from kerascw.data.splits import nested_subset, split

__all__ = [
    "CATALOG",
    "FOLDER",
    "LARGE",
    "Dataset",
    "Part",
    "Rows",
    "Splits",
    "data_label",
    "data_named",
    "dataset_for",
    "load_data",
    "load_for",
    "mean_and_deviation",
    "nested_subset",
    "pixel_histogram",
    "split",
]
