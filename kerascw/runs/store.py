"""Where runs are kept: one folder each, which under its final name is whole.

Reading a run needs no TensorFlow.
"""

import csv
import hashlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kerascw.errors import CallError, KerascwError, choices, counted
from kerascw.experiment.settings import one_line
from kerascw.experiment.spec import Custom, Experiment
from kerascw.models.custom import custom_objects
from kerascw.runs.summary import (
    SUMMARY,
    Summary,
    fragment,
    read_json,
    read_summary,
    replace_text,
    write_summary,
)

if TYPE_CHECKING:
    from pandas import DataFrame

MANIFEST = "manifest.json"
"""SHA-256 of every file that is part of the result; written last. The summary, the figures and the
report are made from those files, and may be made again."""

_ALWAYS = ("environment.json", "experiment.json", "history.csv", "metrics.json", "model.keras")
"""Files that every run has."""


@dataclass(frozen=True)
class Run:
    """What is kept of one experiment: a folder whose files are read when they are asked for.

    A damaged file raises a :class:`KerascwError` that names it.
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def experiment(self) -> Experiment:
        file = self.folder / "experiment.json"
        try:
            return Experiment.model_validate(read_json(file).get("experiment"))
        except ValidationError as error:
            raise KerascwError(f"{file}: damaged, {one_line(error)}") from None

    @property
    def source(self) -> str | None:
        """Name of the run whose weights this one started from; None if it started at random."""
        return read_json(self.folder / "experiment.json").get("source")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return read_json(self.folder / "metrics.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        return read_json(self.folder / "environment.json")

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch, with losses, accuracies of a classifier, and the learning rate."""
        return self._rows[self._rows[0]["epoch"] == 0 :]

    @property
    def untrained(self) -> dict[str, float] | None:
        """The validation figures of the initial weights, epoch 0; None where none were taken."""
        first = self._rows[0]
        return first if first["epoch"] == 0 else None

    @cached_property
    def _rows(self) -> list[dict[str, float]]:
        with (self.folder / "history.csv").open(newline="") as file:
            return [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]

    @property
    def summary(self) -> Summary:
        """The run in one line, read from its file, or made from the others."""
        return read_summary(self.folder) or summary_of(self)

    def model(self) -> Any:
        """Load the live Keras model, which takes raw uint8 images. Needs TensorFlow."""
        from kerascw.quiet import import_tensorflow

        import_tensorflow()
        import keras

        file, spec = self.folder / "model.keras", self.experiment.model
        try:
            return keras.saving.load_model(file, custom_objects(spec), compile=False)
        except (TypeError, ValueError) as error:
            if not isinstance(spec, Custom):
                raise
            reason = str(error).strip().split("\n", 1)[0]
            raise KerascwError(f"{file}: needs the layers of {spec.file} ({reason:.150})") from None

    def to_dataframe(self) -> "DataFrame":
        """Return the history as a data frame of pandas: one row an epoch."""
        return pandas().DataFrame(self.history).astype({"epoch": int})

    def predictions(self, split: str = "test") -> "DataFrame":
        """Return a classifier's predictions of the validation or test set as a data frame.

        One row an image: ``position`` in the split, of images that are files the ``file``,
        ``truth``, ``prediction`` and its ``probability``.

        Raises CallError: the run has no predictions of this split.
        """
        import numpy as np  # not above: a store is listed without it

        with np.load(self.folder / "predictions.npz") as kept:
            there = [name.removesuffix("_labels") for name in kept if name.endswith("_labels")]
            if split not in there:
                reason = f"choose {choices(there)}" if there else "it has none"
                raise CallError(
                    f"split={split!r}: run {self.name} has no such predictions; {reason}"
                )
            probabilities, labels = kept[f"{split}_probabilities"], kept[f"{split}_labels"]
            files = kept.get(f"{split}_files")
        names = np.array(self.metrics["class_names"], dtype=object)
        columns = {
            "position": np.arange(len(labels)),
            **({} if files is None else {"file": files}),
            "truth": names[labels],
            "prediction": names[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
        }
        return pandas().DataFrame(columns)

    def _repr_html_(self) -> str:
        summary = self.summary
        rows = {
            "dataset": summary.dataset,
            "model": summary.model,
            summary.figure: summary.text,
            "seed": summary.seeds,
            "epochs": summary.budget,
            "folder": self.folder,
        }
        figures = self.folder / "figures"
        names = [figures / f"{name}.png" for name in ("curves", "confusion")]
        return fragment(self.name, rows.items(), names)


def pandas() -> Any:
    """Import pandas, which is an extra.

    Raises KerascwError: it is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise KerascwError("data frames need the extra: pip install 'kerascw[pandas]'") from None
    return pandas


def summary_of(run: Run) -> Summary:
    """Summarise a run: its figure on the test set, or on the best split that was scored.

    Raises KerascwError: a file of the run is damaged or lacks a field.
    """
    experiment, metrics = run.experiment, run.metrics
    try:
        split = next((s for s in ("test", "validation", "train") if s in metrics), None)
        figure, value, text = "-", None, str(metrics["status"])
        if split is not None and metrics["status"] != "diverged":
            kind = "loss" if experiment.reconstructs else "accuracy"
            figure, value = f"{split} {kind}", float(metrics[split][kind])
            text = f"{value:.5f}" if experiment.reconstructs else f"{value:.4f}"
            if interval := metrics[split].get(f"{kind}_interval_95"):
                text += " ({:.4f} to {:.4f})".format(*interval)
        fold = "" if experiment.fold is None else f", fold {experiment.fold}"
        return Summary(
            kind="run",
            name=run.name,
            dataset=run.environment["data"].get("title") or experiment.data.name,
            model=experiment.model.kind,
            figure=figure,
            value=value,
            text=text,
            seeds=f"seed {experiment.seed}{fold}",
            budget=counted(metrics["epochs_trained"], "epoch"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise KerascwError(f"{run.folder}: metrics.json or environment.json: {what}") from None


class Store:
    """A folder of runs.

    ``<name>/`` is a whole run, ``.unfinished/<name>/`` one that is being trained or was
    interrupted, ``.locks/`` keeps two processes from training the same run, ``.damaged/`` has what
    was found broken, ``tensorboard/<name>/`` the events of a run.
    """

    def __init__(self, folder: Path | str = "runs") -> None:
        self.folder = Path(folder)

    def get(self, name: str) -> Run | None:
        """Return the whole run of this name, or None; a damaged one is set aside, with a word."""
        folder = self.folder / name
        if not folder.is_dir():
            return None
        fault = find_fault(folder)
        if fault is None:
            return Run(folder)
        damaged = self.folder / ".damaged"
        damaged.mkdir(exist_ok=True)
        places = (damaged / f"{name}.{number}" for number in count(1))
        aside = next(place for place in places if not place.exists())
        folder.rename(aside)
        warnings.warn(f"run {name} is damaged ({fault}); set aside as {aside}", stacklevel=2)
        return None

    @contextmanager
    def claim(self, name: str) -> Iterator[Path]:
        """Give the working folder of an unfinished run, to this process alone.

        Waits while another process has it; ask :meth:`get` again inside.
        """
        from filelock import FileLock

        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        # the lock is the system's: it goes with the process, however that ends
        with FileLock(locks / name):
            working = self.unfinished(name)
            working.mkdir(parents=True, exist_ok=True)
            yield working

    def unfinished(self, name: str) -> Path:
        """Return the folder of a run that is being trained, was interrupted or pauses."""
        return self.folder / ".unfinished" / name

    def finish(self, working: Path, scratch: str) -> Run:
        """Give the working folder its final name: all on disk first, then one rename.

        ``scratch`` is what an interrupted run would go on from; it goes last, when it is not
        needed any more.
        """
        for stray in [*working.glob(".*.writing"), *working.glob(".*.damaged")]:
            stray.unlink()
        write_summary(working, summary_of(Run(working)))
        names = {path.name for path in working.iterdir() if path.is_file()}
        results = sorted(names - {SUMMARY, MANIFEST, scratch})
        write_json(working / MANIFEST, {name: _sha256(working / name) for name in results})
        for path in [*working.rglob("*"), working]:
            fsync(path)
        final = self.folder / working.name
        working.rename(final)
        fsync(self.folder)
        (final / scratch).unlink(missing_ok=True)
        return Run(final)

    def all(self) -> list[Run]:
        """Return every whole run, newest last."""
        return [Run(Path(folder)) for _, folder in sorted(written_in(self.folder, MANIFEST))]

    def study_folder(self, label: str) -> Path:
        """Return where the report, tables and figures of a study go, as it was run."""
        return self.folder / "studies" / label

    def events_folder(self, name: str) -> Path:
        """Return where TensorBoard's events of a run are, whether it is whole or not."""
        return self.folder / "tensorboard" / name

    def find(self, text: str) -> Run:
        """Return the run that a user means: a folder, a name, or the beginning of a key.

        Raises CallError: None or several fit; the message lists what is there.
        """
        folder = Path(text)
        if (folder / MANIFEST).is_file():
            return Run(folder.resolve())
        if "/" not in text and (self.folder / text / MANIFEST).is_file():
            return Run(self.folder / text)
        # names first, then the files of those that fit: a store may have very many runs
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        fit = self._whole(name for name in names if name.rsplit("-", 1)[-1].startswith(text))
        fit = fit or self._whole(name for name in names if name.startswith(text))
        if len(fit) == 1:
            return fit[0]
        if fit:
            raise CallError(f"run {text!r} is one of {choices(run.name for run in fit)}")
        runs = self.all()
        if not runs:
            raise CallError(f"run {text!r}: no runs are kept in {self.folder}")
        named, more = [run.name for run in runs][-10:], len(runs) - 10
        others = f"; {more:,} more are in the list of: python -m kerascw show" if more > 0 else ""
        raise CallError(f"no run {text!r} in {self.folder}; there are {choices(named)}{others}")

    def _whole(self, names: Iterable[str]) -> list[Run]:
        folders = (self.folder / name for name in names)
        return [Run(folder) for folder in folders if (folder / MANIFEST).is_file()]


def written_in(folder: Path, name: str) -> list[tuple[float, str]]:
    """Return when a file of this name was written in each folder within one, with that folder.

    By system calls alone: a store may have very many runs.
    """
    found = []
    for inner in os.listdir(folder) if folder.is_dir() else []:
        path = f"{folder}/{inner}"
        with suppress(OSError):  # no such file there
            found.append((os.stat(f"{path}/{name}").st_mtime, path))
    return found


def find_fault(folder: Path) -> str | None:
    """Find what is wrong with a run's files; None if they are as they were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return f"{MANIFEST} cannot be read"
    if not isinstance(manifest, dict):
        return f"{MANIFEST} is not a list of files"
    for name in _ALWAYS:
        if name not in manifest:
            return f"{MANIFEST} does not list {name}"
    for name, digest in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if _sha256(path) != digest:
            return f"{name} has changed"
    return None


def check_writable(folder: Path | str, option: str) -> None:
    """Check that files can be written into a folder, which need not exist yet.

    A scratch folder is made and removed: what ``os.access`` says does not hold for root.

    Raises CallError: they cannot; ``option`` names what chose the folder.
    """
    folder = Path(folder)
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".kerascw-", dir=existing))
    except OSError as error:
        raise CallError(
            f"{option}: {folder} cannot be written ({error.strerror}: {existing}); "
            "choose another folder"
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people, indented and NaN as null, by a rename."""
    replace_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the history; floats in full, so that reading gives the same bits.

    A row of epoch 0 may come first; what it has no figure of stays empty.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[-1]))
        writer.writeheader()
        writer.writerows(history)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
