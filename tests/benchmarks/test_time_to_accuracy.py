import importlib
import json
import statistics
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from kerascw.experiment.spec import Experiment
from kerascw.runs.store import Store


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("time_to_accuracy")


def test_it_trains_in_turn_keeps_its_runs_and_writes_what_they_say(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    words = ["--tasks", "digits", "--seeds", "2", "--epochs", "2"]
    monkeypatch.setattr(
        sys, "argv", ["benchmark", *words, "--runs", str(runs), "--results", str(results)]
    )
    benchmark.main()
    content = json.loads((results / "time_to_accuracy.json").read_text())
    row = content["tasks"]["digits"]
    kept = Store(runs).all()
    assert len(kept) == 4
    assert row["published"] == 0.0604
    for kind in ("report", "fast"):
        own = {run.experiment.seed: run for run in kept
               if run.experiment == benchmark.TASKS["digits"].experiment(
                   kind, run.experiment.seed, 2)}  # fmt: skip
        errors = [1 - own[seed].metrics["test"]["accuracy"] for seed in (0, 1)]
        assert row[kind]["figures"] == pytest.approx(errors)
        assert row[kind]["mean"] == pytest.approx(sum(errors) / 2)
        assert row[kind]["seconds"] == [own[s].environment["training_seconds"] for s in (0, 1)]
        assert row[kind]["reached"] == (round(sum(errors) / 2, 4) <= 0.0604)
    ratios = [
        fast / own
        for fast, own in zip(row["fast"]["seconds"], row["report"]["seconds"], strict=True)
    ]
    assert row["ratios"] == pytest.approx(ratios)
    assert row["goal_met"] == (row["fast"]["reached"] and statistics.median(ratios) <= 0.25)
    text = (results / "time_to_accuracy.md").read_text()
    assert f"{row['fast']['mean']:.4f}" in text
    benchmark.main()  # nothing is trained again
    again = json.loads((results / "time_to_accuracy.json").read_text())
    assert again["tasks"] == content["tasks"]


def test_every_task_compares_the_same_pictures_and_names_what_was_published(
    benchmark: ModuleType,
) -> None:
    published = {name: task.published.best_reading for name, task in benchmark.TASKS.items()}
    assert published == pytest.approx(
        {"lenet": 0.929, "fashion": 0.9147, "mnist": 0.9914, "bag": 0.9894, "digits": 0.0604,
         "pretraining": 0.997, "transfer": 0.9836, "crossval": 0.923, "cifar": 0.6971,
         "mlp": 0.4423},
        abs=5e-5,
    )  # fmt: skip
    for name, task in benchmark.TASKS.items():
        own, fast = (task.experiment(kind, 3) for kind in benchmark.KINDS)
        assert isinstance(own, Experiment)
        assert own.data == fast.data
        assert (own.seed, own.fold) == (fast.seed, fast.fold)
        assert (own.seed, own.fold) == ((0, 3) if name == "crossval" else (3, None))
        assert own.model != fast.model
    later = benchmark.TASKS["crossval"].experiment("report", 7)
    assert (later.seed, later.fold) == (1, 2)  # of five folds
    lenet = benchmark.TASKS["lenet"].experiment("report", 0)
    assert lenet.data.holdout is None
    assert lenet.training.epochs == 15
    assert not benchmark.TASKS["lenet"].reached(0.9284)
    assert benchmark.TASKS["lenet"].reached(0.9286)  # as printed: three decimals
    assert benchmark.TASKS["digits"].reached(0.0604)
    assert not benchmark.TASKS["digits"].reached(0.0606)


def test_a_folder_of_images_stands_in_for_cifar10(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for at, label in enumerate(30 * ["ship", "frog"]):
        file = tmp_path / "small" / label / f"{at}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 4 * at, np.uint8)).save(file)
    words = ["--tasks", "cifar", "--seeds", "1", "--epochs", "1", "--cifar10", str(file.parents[1])]
    folders = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words, *folders])
    benchmark.main()
    used = {str(run.experiment.data.folder.path) for run in Store(tmp_path / "runs").all()}
    assert used == {str(file.parents[1])}
    assert "| CIFAR-10, " in (tmp_path / "results" / "time_to_accuracy.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "digits,svhn"], "--tasks: 'svhn' is none; choose lenet, fashion"),
        (["--seeds", "0"], "--seeds: 0 is less than 1"),
        (["--tasks", "digits", "--epochs", "0"], "--epochs: 0 is less than 1"),
    ],
)
def test_a_wrong_call_is_one_line(
    benchmark: ModuleType,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
