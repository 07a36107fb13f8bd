"""All that training is, in one file: an interrupted run goes on as if nothing had happened."""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np


@dataclass
class Progress:
    """How far training has come. ``history`` has one row an epoch."""

    history: list[dict[str, float]] = field(default_factory=list)
    kept_epoch: int | None = None  # counted from 1, the epoch whose weights are kept
    kept_weights: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0  # of training and validation, over all sittings
    untrained: dict[str, float] | None = None  # validation figures of the initial weights


def _state(model: keras.Model) -> list[Any]:
    """Return every variable that training changes.

    ``model.variables`` holds the weights, the batch-norm statistics and the states of the dropout
    layers' seed generators, which ``model.save`` leaves out; ``optimizer.variables`` the moments,
    the step and so the schedule.
    """
    return [*model.variables, *model.optimizer.variables]


def save(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write the checkpoint so that ``path`` is always a whole one, whatever happens meanwhile."""
    meta = {
        "history": progress.history,
        "kept_epoch": progress.kept_epoch,
        "seconds": progress.seconds,
        "untrained": progress.untrained,
    }
    arrays = {f"state_{i:04}": variable.numpy() for i, variable in enumerate(_state(model))}
    arrays |= {f"kept_{i:04}": array for i, array in enumerate(progress.kept_weights)}
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("wb") as file:
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Path, model: keras.Model) -> Progress | None:
    """Put the model and its optimiser back to the checkpoint; None where there is no usable one."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in sorted(file.files)}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError):
        return None  # the file is replaced atomically: a damaged one is the disk's doing
    meta = json.loads(arrays.pop("meta").tobytes())
    state = [array for name, array in arrays.items() if name.startswith("state_")]
    variables = _state(model)
    if [array.shape for array in state] != [tuple(variable.shape) for variable in variables]:
        return None
    for variable, array in zip(variables, state, strict=True):
        variable.assign(array)
    kept = [array for name, array in arrays.items() if name.startswith("kept_")]
    untrained = meta.get("untrained")  # of a checkpoint of before, nothing
    return Progress(meta["history"], meta["kept_epoch"], kept, meta["seconds"], untrained)


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the history of a checkpoint, one row an epoch; [] where there is no usable one."""
    try:
        with np.load(path) as file:
            history: list[dict[str, float]] = json.loads(file["meta"].tobytes())["history"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError):
        return []
    return history
