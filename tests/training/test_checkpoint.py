"""A checkpoint is gone on from as it was written, or not at all."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kerascw.data import Dataset
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.runs.run import CHECKPOINT, run_experiment, run_name, train_until
from kerascw.runs.store import Store, find_fault
from kerascw.training.checkpoint import DamagedCheckpoint, Progress, read_history, restore, save


@pytest.fixture
def model() -> keras.Model:
    """A compiled model with everything that a checkpoint has."""
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    made.compile(keras.optimizers.Adam())
    made.optimizer.build(made.trainable_variables)
    return made


def progress_of(model: keras.Model) -> Progress:
    return Progress([{"epoch": 1, "train_loss": 0.5}], 1, model.get_weights(), 2.5)


def test_what_is_saved_comes_back(model: keras.Model, tmp_path: Path) -> None:
    path, weights = tmp_path / CHECKPOINT, model.get_weights()
    assert restore(path, model) is None
    assert read_history(path) == []
    save(path, model, progress_of(model))
    model.set_weights([weight + 1 for weight in weights])
    back = restore(path, model)
    assert back is not None
    assert (back.history, back.kept_epoch, back.seconds) == (
        [{"epoch": 1, "train_loss": 0.5}],
        1,
        2.5,
    )
    assert read_history(path) == back.history
    for now, kept, before in zip(model.get_weights(), back.kept_weights, weights, strict=True):
        np.testing.assert_array_equal(now, before)
        np.testing.assert_array_equal(kept, before)


def test_no_flipped_bit_is_trusted(model: keras.Model, tmp_path: Path) -> None:
    """Once a flip in the zip's directory hid the kept weights, and the last ones stood for them."""
    path = tmp_path / CHECKPOINT
    save(path, model, progress_of(model))
    whole = path.read_bytes()
    chosen = random.Random(0).sample(range(8 * len(whole)), 300)
    weights = model.get_weights()
    for bit in [*chosen, 0, 8 * len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert read_history(path) == []
        with pytest.warns(DamagedCheckpoint, match="is damaged; set aside as"):
            assert restore(path, model) is None
        assert not path.exists()
        assert (tmp_path / f".{CHECKPOINT}.damaged").read_bytes() == damaged
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("length", [0, 10, 32, 500, -1])
def test_no_shortened_file_is_trusted(model: keras.Model, tmp_path: Path, length: int) -> None:
    path = tmp_path / CHECKPOINT
    save(path, model, progress_of(model))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(DamagedCheckpoint):
        assert restore(path, model) is None


def test_a_checkpoint_of_another_model_is_not_gone_on_from(
    model: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / CHECKPOINT
    save(path, model, progress_of(model))
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.compile(keras.optimizers.Adam())
    other.optimizer.build(other.trainable_variables)
    with pytest.warns(DamagedCheckpoint, match="another model"):
        assert restore(path, other) is None


def test_a_run_with_a_damaged_checkpoint_begins_anew_and_comes_to_the_same_end(
    sample: Dataset, small: Experiment, tmp_path: Path
) -> None:
    experiment = override(small, {"training.epochs": 2})
    store, name = Store(tmp_path / "damaged"), run_name(experiment, sample)
    assert train_until(1, experiment, sample, store) is None
    path = store.unfinished(name) / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-30] ^= 4  # in the zip's directory
    path.write_bytes(content)
    with pytest.warns(DamagedCheckpoint, match=name):
        run = run_experiment(experiment, sample, store)
    whole = run_experiment(experiment, sample, Store(tmp_path / "whole"))
    assert run.history == whole.history
    for mine, theirs in zip(run.model().get_weights(), whole.model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert find_fault(run.folder) is None
    assert not list(run.folder.glob(".*"))


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "kerascw", "run", "digits", "--epochs", "2"]
    words += ["--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    words += ["--seeds", "2", "--jobs", "2"]
    whole = subprocess.run(words, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    assert "checkpoint" not in whole.stderr
    runs = Store(tmp_path / "runs").all()
    figures = [json.loads((run.folder / "metrics.json").read_text()) for run in runs]
    for run in runs:
        unfinished = Store(tmp_path / "runs").unfinished(run.name)
        shutil.rmtree(run.folder)
        unfinished.mkdir(parents=True)
        (unfinished / CHECKPOINT).write_bytes(b"PK not the rest of it")
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.returncode == 0
    lines = [line for line in again.stderr.splitlines() if "checkpoint" in line]
    assert len(lines) == len(runs)
    for line in lines:
        assert line.startswith("kerascw: ")
        assert line.endswith(", the run begins anew")
    after = [Store(tmp_path / "runs").get(run.name) for run in runs]
    assert [run and run.metrics for run in after] == figures
