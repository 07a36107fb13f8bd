"""Several devices side by side, and layers that compute in 16 bits."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import load_data
from kerascw.experiment.spec import (
    Adam,
    ConvNet,
    DataSpec,
    Experiment,
    Flip,
    Holdout,
    Muon,
    TrainingSpec,
)
from kerascw.runs.run import run_experiment, train_until
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
experiment = Experiment.model_validate_json(sys.stdin.read())
print(run_experiment(experiment, dataset, Store(sys.argv[1])).name)
"""


def experiment(**training: object) -> Experiment:
    """512 images to train in batches of 64; nothing in it draws by device."""
    fields = {"epochs": 2, "batch_size": 64, "optimizer": Adam(), "augmentation": (Flip(),)}
    return Experiment(
        data=DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=880), fraction=0.1),
        model=ConvNet(
            filters=(6, 8), pool_after=(1, 2), batch_norm=True, activation="tanh", dense=(16,)
        ),
        training=TrainingSpec.model_validate(fields | training),
    )


def on_two(folder: Path, one: Experiment) -> Run:
    """Train in a process with two logical CPUs, on both."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder)],
        input=one.model_dump_json(),
        env=os.environ | {"KERASCW_DEVICES": "all", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return Run(folder / done.stdout.strip())


def on_one(folder: Path, one: Experiment) -> Run:
    return run_experiment(one, load_data("fashion_mnist", sample=True), Store(folder))


def weights(run: Run) -> list[np.ndarray]:
    return run.model().get_weights()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained on one device, in float32, by Muon and AdamW; its weights are averages over steps."""
    return on_one(tmp_path_factory.mktemp("one"), experiment(weight_average=0.9, optimizer=Muon()))


def test_two_replicas_train_as_one_device_does(averaged: Run, tmp_path: Path) -> None:
    two = on_two(tmp_path, averaged.experiment)
    assert (averaged.environment["replicas"], two.environment["replicas"]) == (1, 2)
    assert averaged.name == two.name  # the same experiment: devices are the environment's
    for a, b in zip(weights(averaged), weights(two), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-4)
    for mine, theirs in zip(averaged.history, two.history, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            # two of the 880 held out may lie within rounding of another class
            reach = 2 / 880 if name.endswith("accuracy") else 2e-4
            assert theirs[name] == pytest.approx(value, abs=reach), name


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_scored_in_float32_and_goes_on_where_it_stopped(
    averaged: Run, precision: str, tmp_path: Path, assert_same_run: Any
) -> None:
    one = experiment(precision=precision, weight_average=0.9)
    mixed = on_one(tmp_path / "whole", one)
    assert mixed.name != averaged.name
    model = mixed.model()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}
    # it did compute in 16 bits, and came to much the same
    assert any((a != b).any() for a, b in zip(weights(averaged), weights(mixed), strict=True))
    for name in ("train_loss", "validation_loss"):
        assert mixed.history[-1][name] == pytest.approx(averaged.history[-1][name], rel=0.05)
    assert mixed.metrics["test"]["accuracy"] == pytest.approx(
        averaged.metrics["test"]["accuracy"], abs=0.03
    )

    dataset, store = load_data("fashion_mnist", sample=True), Store(tmp_path / "stopped")
    assert train_until(1, one, dataset, store) is None
    assert_same_run(run_experiment(one, dataset, store), mixed)


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
