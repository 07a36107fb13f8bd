"""A checkpoint is gone on from as it was written, or not at all."""

import random
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import Dataset
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DenseNet, Experiment
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


def test_a_checkpoint_of_another_version_is_not_gone_on_from(
    model: keras.Model, tmp_path: Path
) -> None:
    path, progress = tmp_path / CHECKPOINT, progress_of(model)
    vars(progress)["arrays"] = 7  # a field of before
    save(path, model, progress)
    assert read_history(path) == []
    with pytest.warns(DamagedCheckpoint, match="of another version of kerascw; set aside as"):
        assert restore(path, model) is None


def test_a_run_with_a_damaged_checkpoint_begins_anew_and_comes_to_the_same_end(
    sample: Dataset, small: Experiment, tmp_path: Path, assert_same_run: Any
) -> None:
    dense = small.model_copy(update={"model": DenseNet(dense=(16,))})
    experiment = override(dense, {"training.epochs": 2})
    store, name = Store(tmp_path / "damaged"), run_name(experiment, sample)
    assert train_until(1, experiment, sample, store) is None
    path = store.unfinished(name) / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-30] ^= 4  # in the zip's directory
    path.write_bytes(content)
    with pytest.warns(DamagedCheckpoint, match=name):
        run = run_experiment(experiment, sample, store)
    assert_same_run(run, run_experiment(experiment, sample, Store(tmp_path / "whole")))
    assert find_fault(run.folder) is None
    assert not list(run.folder.glob(".*"))


def test_the_command_says_it_in_one_line(
    own_workers: None, kept_digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a worker process writes, the terminal shows."""
    shutil.copytree(kept_digits.parent, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "runs"
    damaged = [run for run in Store(folder).all() if run.experiment.model.kind == "mlp"]
    figures = [run.metrics for run in damaged]
    for run in damaged:
        unfinished = Store(folder).unfinished(run.name)
        shutil.rmtree(run.folder)
        unfinished.mkdir(parents=True)
        (unfinished / CHECKPOINT).write_bytes(b"PK not the rest of it")
    words = ["run", "digits", "--epochs", "3", "--seeds", "2", "--jobs", "2"]
    words += ["--runs", str(folder), "--models", str(tmp_path / "models")]
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 0, again.output
    lines = [line for line in capfd.readouterr().err.splitlines() if "checkpoint" in line]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("kerascw: ")
        assert line.endswith(", the run begins anew")
    after = [Store(folder).get(run.name) for run in damaged]
    assert [run and run.metrics for run in after] == figures
