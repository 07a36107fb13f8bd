"""The dataset and the splits of a data spec, made once a process."""

from functools import lru_cache
from pathlib import Path

from kerascw.data import Dataset, Splits, load_for, split
from kerascw.experiment.spec import DataSpec


def dataset_for(spec: DataSpec, data_dir: str | Path | None = None) -> Dataset:
    """Load the dataset that a spec names; the last few stay in memory."""
    whole = DataSpec(name=spec.name, sample=spec.sample, folder=spec.folder)
    return _dataset(whole, None if data_dir is None else str(data_dir))


def splits_for(spec: DataSpec, data_dir: str | Path | None = None) -> Splits:
    """Split the dataset of a spec as it says; the last splits stay in memory.

    Checking an experiment, training it, drawing its report and exporting it ask for the same
    splits, one after the other.
    """
    return _splits(spec, None if data_dir is None else str(data_dir))


@lru_cache(maxsize=4)
def _dataset(whole: DataSpec, data_dir: str | None) -> Dataset:
    return load_for(whole, data_dir=data_dir)


@lru_cache(maxsize=1)
def _splits(spec: DataSpec, data_dir: str | None) -> Splits:
    return split(dataset_for(spec, data_dir), spec)
