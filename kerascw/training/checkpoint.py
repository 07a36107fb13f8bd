"""All that training is, in one file: an interrupted run goes on as if nothing had happened.

The file is the SHA-256 of all that follows (32 bytes), and NumPy's npz: ``meta`` (JSON), the
variables of model and optimiser as ``state_0000``, ..., the kept weights as ``kept_0000``, .... A
file that is not what was written is never gone on from: it is set aside, with a warning.
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
    """A checkpoint cannot be gone on from."""


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
    arrays = {f"state_{i:04}": variable.numpy() for i, variable in enumerate(_state(model))}
    arrays |= {f"kept_{i:04}": array for i, array in enumerate(progress.kept_weights)}
    meta = {
        "history": progress.history,
        "kept_epoch": progress.kept_epoch,
        "seconds": progress.seconds,
        "untrained": progress.untrained,
        "arrays": len(arrays),
    }
    content = io.BytesIO()
    np.savez(content, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("wb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(path: Path, model: keras.Model) -> Progress | None:
    """Put the model and its optimiser back to the checkpoint; None where there is no usable one.

    A damaged one is set aside beside ``path`` until the run is whole, with a
    :class:`DamagedCheckpoint` warning, and the run begins anew.
    """
    try:
        read = _read(path)
        if read is None:
            return None
        meta, arrays = read
        state = [array for name, array in arrays.items() if name.startswith("state_")]
        variables = _state(model)
        if [array.shape for array in state] != [tuple(variable.shape) for variable in variables]:
            raise ValueError("its arrays are those of another model")
    except ValueError as fault:
        aside = path.with_name(f".{path.name}.damaged")
        path.replace(aside)
        warnings.warn(
            f"{path}: {fault}; set aside as {aside.name}, the run begins anew",
            DamagedCheckpoint,
            stacklevel=2,
        )
        return None
    for variable, array in zip(variables, state, strict=True):
        variable.assign(array)
    kept = [array for name, array in arrays.items() if name.startswith("kept_")]
    untrained = meta.get("untrained")  # of a checkpoint of before, nothing
    return Progress(meta["history"], meta["kept_epoch"], kept, meta["seconds"], untrained)


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the history of a checkpoint, one row an epoch; [] where there is no usable one."""
    try:
        read = _read(path)
    except ValueError:
        return []
    history: list[dict[str, float]] = [] if read is None else read[0]["history"]
    return history


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Return what ``meta`` says, and the other arrays by name, in order; None without a file.

    Raises
    ------
    ValueError
        The file is not as it was written.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = whole[:DIGEST_BYTES], whole[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the checkpoint is damaged")
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in sorted(file.files)}
    meta: dict[str, Any] = json.loads(arrays.pop("meta").tobytes())
    if meta["arrays"] != len(arrays):
        raise ValueError(f"the checkpoint has {len(arrays)} arrays, not {meta['arrays']}")
    return meta, arrays
