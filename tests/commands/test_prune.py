"""``prune``: what goes, what stays, and that nothing goes unasked."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.runs.store import Store


@pytest.fixture
def runs(kept_digits: Path, tmp_path: Path) -> Path:
    """A copy of four runs of one study."""
    return Path(shutil.copytree(kept_digits, tmp_path / "runs"))


@pytest.fixture
def prune(runs: Path, tmp_path: Path) -> Callable[..., Result]:
    where = ("--runs", str(runs), "--models", str(tmp_path / "models"), "--saved-models",
             str(tmp_path / "none"))  # fmt: skip
    return lambda *words: CliRunner().invoke(main, ["prune", *where, *words])


def test_what_a_study_names_stays(prune: Callable[..., Result], runs: Path) -> None:
    done = prune("--yes")
    assert done.exit_code == 0, done.output
    assert done.output == "nothing to delete: 4 runs, each named and whole\n"
    assert len(Store(runs).all()) == 4


def test_what_nothing_names_is_listed_first_and_deleted_when_asked(
    prune: Callable[..., Result], runs: Path, kept_digits: Path, tmp_path: Path
) -> None:
    shutil.rmtree(runs / "studies")
    shutil.copytree(kept_digits.parent / "models", tmp_path / "models")
    listed = prune()
    assert listed.exit_code == 0, listed.output
    assert listed.output.count("no study, search or exported model names it") == 3
    assert "3 folders" in listed.output
    assert len(Store(runs).all()) == 4
    done = prune("--yes")
    assert done.exit_code == 0, done.output
    [left] = Store(runs).all()  # the one that was exported
    assert left.name not in listed.output
    assert {path.name for path in (runs / "tensorboard").iterdir()} == {left.name}
    assert not any((runs / ".unfinished").iterdir())


def test_what_is_damaged_goes_though_a_study_names_it(
    prune: Callable[..., Result], runs: Path
) -> None:
    first, second, *_ = Store(runs).all()
    with (first.folder / "history.csv").open("a") as file:
        file.write("1,2\n")
    aside = runs / ".damaged" / second.name
    aside.parent.mkdir()
    second.folder.rename(aside)
    done = prune("--yes")
    assert done.exit_code == 0, done.output
    assert f"{first.folder}: history.csv" in done.output
    assert f"{aside}: damaged, set aside" in done.output
    assert len(Store(runs).all()) == 2
    assert not aside.exists()


def test_a_damaged_study_ends_it_since_its_runs_are_not_known(
    prune: Callable[..., Result], runs: Path
) -> None:
    [study] = runs.glob("studies/*/study.json")
    study.write_text("{")
    done = prune("--yes")
    assert done.exit_code == 1
    assert "which runs it needs is not known" in done.output
    assert len(Store(runs).all()) == 4
