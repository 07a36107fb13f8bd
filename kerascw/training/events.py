"""Write a run's TensorBoard events while it trains, with ``tf.summary``.

A run that is resumed gets all its events anew.
"""

import contextlib
import functools
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascw.experiment.spec import Experiment

PATTERN = "*tfevents*"
"""The names of the files that TensorBoard reads."""


def _never_ends_training(method: Callable[..., None]) -> Callable[..., None]:
    """Report an error once, as a warning, and remove what was written: events are whole or none."""

    @functools.wraps(method)
    def call(self: "RunEvents", *args: Any) -> None:
        if self.failed:
            return
        try:
            method(self, *args)
        except Exception as error:
            self.failed = True
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"no TensorBoard events of {self.folder.name}: {reason}", stacklevel=2)
            with contextlib.suppress(OSError):
                if self.writer is not None:
                    self.writer.close()
                for file in self.folder.glob(PATTERN):
                    file.unlink(missing_ok=True)

    return call


class RunEvents:
    """Write the events of one run to a folder of its own: one file, begun anew at every start."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment
        self.failed = False
        self.writer: Any = None

    @_never_ends_training
    def begin(self, history: Sequence[Mapping[str, float]] = ()) -> None:
        """Write the hyperparameters and the epochs trained so far."""
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        self.folder.mkdir(parents=True, exist_ok=True)
        old = list(self.folder.glob(PATTERN))
        self.writer = tf.summary.create_file_writer(str(self.folder))
        with self.writer.as_default(step=0):
            api.hparams(flat_hyperparameters(self.experiment))
        for row in history:
            self._scalars(row)
        self.writer.flush()
        for file in old:
            file.unlink(missing_ok=True)

    @_never_ends_training
    def epoch(self, row: Mapping[str, float]) -> None:
        """Write one row of the history."""
        self._scalars(row)
        self.writer.flush()

    @_never_ends_training
    def end(self, metrics: Mapping[str, Any]) -> None:
        """Write the figures of the run's metrics.json at the epoch that is kept; close the file."""
        import tensorflow as tf

        kept = metrics["kept_epoch"]
        with self.writer.as_default(step=kept or 0):
            for tag, value in _final_figures(metrics) if kept is not None else ():
                tf.summary.scalar(tag, value)
        self.writer.close()

    def _scalars(self, row: Mapping[str, float]) -> None:
        import tensorflow as tf

        with self.writer.as_default(step=int(row["epoch"])):
            for name in row:
                if name != "epoch":
                    tf.summary.scalar(tag_of(name), row[name])


def tag_of(column: str) -> str:
    """Return the tag of a column of the history: training beside validation, heads apart.

    >>> [tag_of(name) for name in ("train_loss", "aux1_validation_accuracy", "learning_rate")]
    ['loss/train', 'aux1_accuracy/validation', 'learning_rate']
    """
    found = re.fullmatch(r"(\w+?_)?(train|validation)_(\w+)", column)
    return f"{found[1] or ''}{found[3]}/{found[2]}" if found else column


def _final_figures(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield tag and value of each split's loss and accuracy, of every head."""
    heads = {"": metrics} | {f"{head}_": own for head, own in metrics.get("heads", {}).items()}
    for head, own in heads.items():
        for split in ("train", "validation", "test"):
            for figure in ("loss", "accuracy"):
                value = own.get(split, {}).get(figure)
                if value is not None:  # null in metrics.json: not finite
                    yield f"{head}final/{split}_{figure}", value


def flat_hyperparameters(experiment: Experiment) -> dict[str, float | bool | str]:
    """Return all fields but seed and fold by their dotted names, as HParams takes them.

    HParams groups runs with the same ones: the seeds of an experiment.
    """
    tree = experiment.model_dump(mode="json")
    del tree["seed"]
    if tree["data"]["holdout"]:
        tree["data"]["holdout"].pop("fold", None)
    if tree["data"]["folder"]:  # where the folder lies does not matter
        tree["data"]["folder"]["path"] = Path(tree["data"]["folder"]["path"]).name
    start = experiment.start
    if start is not None:
        tree["start"] = f"{start.source.data.name} {start.source.model.kind}"
    return dict(_leaves(tree))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, float | bool | str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:  # what is neither a number nor a word is JSON
            plain = isinstance(value, bool | int | float | str)
            yield f"{path}{name}", value if plain else json.dumps(value)
