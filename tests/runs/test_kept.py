"""A store that an earlier version wrote (``kept/``: digits, two variants, one epoch) opens."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.runs.store import Store

KEPT = Path(__file__).parent / "kept"
RUNS = ("digits-mlp-36e5e4c4f3910d38", "digits-convnet-30e9c137929de4bb")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(KEPT, tmp_path / "runs")
    return Store(tmp_path / "runs")


def test_its_runs_are_whole_and_predict(store: Store) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    for name in RUNS:
        run = store.get(name)
        assert run is not None, "every file is as its manifest says"
        images = load_digits().images[:5, ..., None].astype(np.uint8)
        assert run.model()(images).shape == (5, 10)
        assert run.experiment.data.name == "digits"
        assert len(run.history) == 1


def test_commands_read_it(store: Store) -> None:
    for arguments in (
        ["show"],
        ["show", "digits-convnet-30e9c137929de4bb"],
        ["report", "digits-convnet-30e9c137929de4bb"],
        ["report", "digits-quick-6d2681"],
        ["report", "--all"],
    ):
        result = CliRunner().invoke(main, [*arguments, "--runs", str(store.folder)])
        assert result.exit_code == 0, (arguments, result.output)
    assert (store.folder / "studies" / "digits-quick-6d2681" / "report.html").is_file()
    assert "0.2327" in (store.folder / "index.html").read_text()
