"""Several devices side by side, and layers that compute in 16 bits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import load_data
from kerascw.experiment.spec import Adam, ConvNet, DataSpec, Experiment, Flip, Holdout, TrainingSpec
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store

TRAIN = """
import json, sys
from kerascw.quiet import import_tensorflow
import_tensorflow()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerascw.data import load_data
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Store
from kerascw.experiment.spec import Experiment
dataset = load_data("fashion_mnist", sample=True)
for line in sys.stdin:
    print(run_experiment(Experiment.model_validate_json(line), dataset, Store(sys.argv[1])).name)
"""


def experiment(**training: object) -> Experiment:
    """512 pictures to train in batches of 64; nothing in it draws by device."""
    fields = {"epochs": 2, "batch_size": 64, "optimizer": Adam(), "augmentation": (Flip(),)}
    return Experiment(
        data=DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=880), fraction=0.1),
        model=ConvNet(
            filters=(6, 8), pool_after=(1, 2), batch_norm=True, activation="tanh", dense=(16,)
        ),
        training=TrainingSpec.model_validate(fields | training),
    )


def on_two(folder: Path, *experiments: Experiment) -> list[Run]:
    """Return what a process with two logical CPUs trains on both."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder)],
        input="\n".join(e.model_dump_json() for e in experiments),
        env=os.environ | {"KERASCW_DEVICES": "all", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [Run(folder / name) for name in done.stdout.split()]


def on_one(folder: Path, one: Experiment) -> Run:
    return run_experiment(one, load_data("fashion_mnist", sample=True), Store(folder))


def weights(run: Run) -> list[np.ndarray]:
    return run.model().get_weights()


def test_two_replicas_train_as_one_device_does(tmp_path: Path) -> None:
    plain, averaged = experiment(), experiment(weight_average=0.9)
    both = on_two(tmp_path / "two", plain, averaged)
    for one, two in zip((plain, averaged), both, strict=True):
        single = on_one(tmp_path / "one", one)
        assert (single.environment["replicas"], two.environment["replicas"]) == (1, 2)
        assert single.name == two.name  # the same experiment: devices are the environment's
        for a, b in zip(weights(single), weights(two), strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=2e-4)
        for mine, theirs in zip(single.history, two.history, strict=True):
            assert mine.keys() == theirs.keys()
            for name, value in mine.items():
                # two of the 880 held out may lie within rounding of another class
                reach = 2 / 880 if name.endswith("accuracy") else 2e-4
                assert theirs[name] == pytest.approx(value, abs=reach), name


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_is_scored_in_float32(tmp_path: Path, precision: str) -> None:
    exact = on_one(tmp_path, experiment(epochs=4))
    mixed = on_one(tmp_path, experiment(epochs=4, precision=precision))
    assert mixed.name != exact.name
    model = mixed.model()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    # it did compute in 16 bits, and came to much the same
    assert any((a != b).any() for a, b in zip(weights(exact), weights(mixed), strict=True))
    for name in ("train_loss", "validation_loss"):
        assert mixed.history[-1][name] == pytest.approx(exact.history[-1][name], rel=0.05)
    assert mixed.metrics["test"]["accuracy"] == pytest.approx(
        exact.metrics["test"]["accuracy"], abs=0.03
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_goes_on_where_it_stopped(tmp_path: Path, precision: str) -> None:
    from kerascw.runs.run import train_until

    one = experiment(precision=precision, weight_average=0.9, epochs=3)
    whole = on_one(tmp_path / "whole", one)
    dataset, store = load_data("fashion_mnist", sample=True), Store(tmp_path / "stopped")
    assert train_until(2, one, dataset, store) is None
    resumed = run_experiment(one, dataset, store)
    assert resumed.history == whole.history
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_calls_are_refused() -> None:
    jobs = CliRunner().invoke(main, ["run", "digits", "--devices", "all", "--jobs", "2"])
    assert (jobs.exit_code, jobs.output) == (
        2,
        "kerascw: --devices all: each run takes all of them; leave --jobs out\n",
    )
    wrong = CliRunner().invoke(main, ["run", "digits", "--set", "training.precision=float8"])
    assert wrong.exit_code == 2
    assert "training.precision" in wrong.output
    assert "'float32', 'mixed_float16', 'mixed_bfloat16' or 'auto'" in wrong.output
