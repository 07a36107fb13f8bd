"""Everything that training changes, in one file: an interrupted run goes on bit for bit.

The file is a SHA-256 (32 bytes) of all that follows, then NumPy's npz: ``meta`` (JSON), the
variables of model and optimiser as ``state_0000``, ..., the kept weights as ``kept_0000``, .... A
file that is not as it was written is never trusted: it is set aside, with a warning.
"""

import hashlib
import io
import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedCheckpoint(RuntimeWarning):
    """A checkpoint cannot be used."""


@dataclass
class Progress:
    """How far training has come. ``history`` has one row for each epoch."""

    history: list[dict[str, float]] = field(default_factory=list)
    kept_epoch: int | None = None  # counted from 1, the epoch whose weights are kept
    kept_weights: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0  # of training and validation, before and after interruptions
    untrained: dict[str, float] | None = None  # validation figures of the initial weights


def state(model: keras.Model) -> list[Any]:
    """Return every variable that training changes.

    ``model.variables`` holds the weights, the batch-norm statistics and the states of the dropout
    layers' seed generators, which ``model.save`` leaves out; ``optimizer.variables`` the moments
    and the step, from which the learning rate follows.
    """
    return [*model.variables, *model.optimizer.variables]


def save(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write the checkpoint; whatever happens meanwhile, ``path`` is a whole one, old or new."""
    meta = dict(vars(progress))
    kept_weights = meta.pop("kept_weights")
    arrays = {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    arrays |= {f"state_{i:04}": variable.numpy() for i, variable in enumerate(state(model))}
    arrays |= {f"kept_{i:04}": array for i, array in enumerate(kept_weights)}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("wb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Path, model: keras.Model) -> Progress | None:
    """Put the model and its optimiser back to the checkpoint; None where there is no usable one.

    A damaged one is set aside beside ``path`` until the run is complete, with a
    :class:`DamagedCheckpoint` warning, and the run begins anew.
    """
    variables = state(model)
    try:
        progress, arrays = _read(path)
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise ValueError("its arrays are those of another model")
    except FileNotFoundError:
        return None
    except ValueError as fault:
        aside = path.with_name(f".{path.name}.damaged")
        path.replace(aside)
        warnings.warn(
            f"{path}: {fault}; set aside as {aside.name}, the run begins anew",
            DamagedCheckpoint,
            stacklevel=2,
        )
        return None
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return progress


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the history of a checkpoint; [] where there is no usable one."""
    try:
        return _read(path)[0].history
    except (FileNotFoundError, ValueError):
        return []


def _read(path: Path) -> tuple[Progress, list[np.ndarray]]:
    """Return the progress, and the variables of model and optimiser.

    Raises FileNotFoundError, ValueError: there is no checkpoint, or it is not as this version wrote
    it.
    """
    whole = path.read_bytes()
    digest, content = whole[:DIGEST_BYTES], whole[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the checkpoint is damaged")
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in sorted(file.files)}
    meta = json.loads(arrays.pop("meta").tobytes())
    kept = [array for name, array in arrays.items() if name.startswith("kept_")]
    variables = [array for name, array in arrays.items() if name.startswith("state_")]
    try:
        return Progress(kept_weights=kept, **meta), variables
    except TypeError:
        raise ValueError("the checkpoint is of another version of kerascw") from None
