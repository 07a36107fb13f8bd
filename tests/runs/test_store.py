import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from kerascw.data import Dataset, load_data
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.quiet import import_tensorflow
from kerascw.runs.run import run_experiment, run_name
from kerascw.runs.store import Run, Store, find_fault
from kerascw.runs.summary import replace_text
from kerascw.training.watcher import Watcher

FILES = {
    "experiment.json", "environment.json", "history.csv", "metrics.json", "predictions.npz",
    "model.keras", "manifest.json", "summary.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    quick = Experiment.model_validate(
        {
            "data": {"name": "fashion_mnist", "sample": True, "fraction": 0.05,
                     "holdout": {"count": 200}},
            "model": {"kind": "mlp", "dense": [8]},
            "training": {"epochs": 1},
        }
    )  # fmt: skip
    return run_experiment(quick, sample, Store(tmp_path_factory.mktemp("runs")))


def copy_of(run: Run, folder: Path) -> Store:
    import shutil

    shutil.copytree(run.folder, folder / run.name)
    return Store(folder)


def test_a_run_has_all_its_files_and_is_whole(kept: Run) -> None:
    assert {path.name for path in kept.folder.iterdir()} == FILES
    assert find_fault(kept.folder) is None
    assert not list(kept.folder.parent.glob(".unfinished/*"))


def test_a_run_says_what_it_was_made_of(kept: Run, sample: Dataset) -> None:
    data = kept.environment["data"]
    assert data["source"] == "sample"
    assert data["fingerprint"] == sample.fingerprint
    assert kept.environment["packages"]["keras"]
    assert kept.environment["devices"]
    assert kept.metrics["scored_on_test"] == 1
    assert kept.metrics["test"]["examples"] == 1000
    assert kept.metrics["validation"]["examples"] == 200
    assert kept.name == run_name(kept.experiment, sample)
    assert json.loads((kept.folder / "experiment.json").read_text())["key"] in kept.name


def test_the_kept_model_gives_the_kept_predictions(kept: Run, sample: Dataset) -> None:
    import numpy as np

    with np.load(kept.folder / "predictions.npz") as predictions:
        again = kept.model()(sample.test.images[:100]).numpy()
        np.testing.assert_allclose(predictions["test_probabilities"][:100], again, atol=1e-6)


def test_what_is_kept_is_not_trained_again(kept: Run, sample: Dataset) -> None:
    before = (kept.folder / "model.keras").stat().st_mtime_ns
    again = run_experiment(kept.experiment, sample, Store(kept.folder.parent))
    assert again.folder == kept.folder
    assert (kept.folder / "model.keras").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "history.csv").write_text("epoch\n"), "history.csv has changed"),
        (lambda folder: (folder / "model.keras").unlink(), "model.keras is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    ],
)
def test_a_damaged_run_is_set_aside_and_trained_again(
    damage: object, said: str, kept: Run, sample: Dataset, tmp_path: Path
) -> None:
    store = copy_of(kept, tmp_path)
    damage(tmp_path / kept.name)  # type: ignore[operator]
    with pytest.warns(UserWarning, match=said):
        again = run_experiment(kept.experiment, sample, store)
    assert find_fault(again.folder) is None
    assert again.history == kept.history
    assert [path.name for path in (tmp_path / ".damaged").iterdir()] == [f"{kept.name}.1"]


class Count(Watcher):
    def __init__(self) -> None:
        self.epochs = 0

    def epoch(self, row: dict[str, float]) -> None:
        self.epochs += 1


def _train(experiment: str, runs: str, ready: Any, results: Any) -> None:
    count, data = Count(), load_data("fashion_mnist", sample=True)
    import_tensorflow()
    ready.set()
    run = run_experiment(Experiment.model_validate_json(experiment), data, Store(runs), count)
    results.put((count.epochs, run.name))


def test_two_processes_do_not_train_the_same_run_twice(
    kept: Run, sample: Dataset, tmp_path: Path
) -> None:
    """Another one and this one."""
    experiment = override(kept.experiment, {"training.epochs": 3})
    context = multiprocessing.get_context("spawn")
    ready, results = context.Event(), context.Queue()
    other = context.Process(
        target=_train, args=(experiment.canonical_json(), str(tmp_path), ready, results)
    )
    other.start()
    assert ready.wait(timeout=240)
    count = Count()
    run = run_experiment(experiment, sample, Store(tmp_path), count)
    epochs, name = results.get(timeout=120)
    other.join()
    assert sorted((epochs, count.epochs)) == [0, 3]
    assert name == run.name
    assert len(Store(tmp_path).all()) == 1


@pytest.mark.parametrize("other", ["process", "thread"])
def test_two_that_write_one_file_do_not_meet(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write = tmp_path / "report.html", Path.write_text

    def meanwhile(path: Path, text: str, **named: Any) -> None:
        write(path, text, **named)
        assert path in tmp_path.glob(".*.writing")  # which Store.finish clears away
        if text == "slow":
            ours, theirs = os.getpid(), threading.Thread(target=replace_text, args=(file, "quick"))
            if other == "thread":
                theirs.start()
                theirs.join()
            else:
                monkeypatch.setattr(os, "getpid", lambda: ours + 1)
                theirs.run()
            assert file.read_text() == "quick"

    monkeypatch.setattr(Path, "write_text", meanwhile)
    replace_text(file, "slow")
    assert file.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [file]


def test_a_run_is_found_by_folder_name_and_key(kept: Run) -> None:
    store = Store(kept.folder.parent)
    key = kept.name.rsplit("-", 1)[-1]
    for text in (str(kept.folder), kept.name, key, key[:6]):
        assert store.find(text).name == kept.name
    with pytest.raises(CallError, match=f"no run 'nothing' in .*; there are {kept.name}"):
        store.find("nothing")
    with pytest.raises(CallError, match="no runs are kept in"):
        Store(kept.folder / "empty").find("nothing")


def test_reading_a_run_needs_no_tensorflow(kept: Run) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from kerascw.runs.store import Store; "
        f"r = Store({str(kept.folder.parent)!r}).all()[0]; r.metrics, r.history, r.experiment; "
        "print('tensorflow' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
