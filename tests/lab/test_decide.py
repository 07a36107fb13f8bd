"""Seeds until decided: how often it is wrong, when it stops, and what it says."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.errors import CallError
from kerascw.evaluation.significance import decision, interval_at_look
from kerascw.evaluation.statistics import FEWEST
from kerascw.lab.decide import LOOKS, run_until_decided
from kerascw.lab.plan import planned
from kerascw.studies import study_named


def decided(differences: np.ndarray, within: float | None) -> list[str]:
    """Go through the looks of a study as ``run_until_decided`` does; return its verdicts.

    ``differences`` are float ``[comparisons, seeds]``.
    """
    seeds, look = FEWEST, 1
    while True:
        found = [
            decision(interval_at_look(list(each[:seeds]), look, len(differences)), within)
            for each in differences
        ]
        if seeds == differences.shape[1] or "undecided" not in found:
            return found
        look, seeds = look + 1, min(differences.shape[1], seeds + max(1, seeds // 3))


def test_of_2000_studies_without_a_difference_few_find_one() -> None:
    random = np.random.default_rng(0)
    wrong = sum("different" in decided(random.normal(0, 0.003, (2, 30)), None) for _ in range(2000))
    assert wrong <= 0.05 * 2000


def test_of_studies_with_a_difference_few_call_it_equivalent_or_miss_it() -> None:
    random = np.random.default_rng(1)
    apart = [decided(random.normal(0.004, 0.003, (1, 30)), 0.002)[0] for _ in range(500)]
    assert apart.count("equivalent") <= 0.05 * 500
    assert apart.count("different") > 0.9 * 500
    alike = [decided(random.normal(0.0, 0.001, (1, 30)), 0.002)[0] for _ in range(500)]
    assert alike.count("equivalent") > 0.9 * 500


class Runs:
    """Stands for the engine: runs with test accuracies of one's own choice, by variant and seed."""

    def __init__(self, folder: Path, accuracy: Any) -> None:
        self.folder, self._accuracy, self.seeds = folder, accuracy, list[int]()

    def __call__(self, plan: Any) -> Any:
        runs = {
            name: [
                SimpleNamespace(
                    experiment=experiment,
                    metrics={
                        "status": "finished",
                        "test": {"accuracy": self._accuracy(name, experiment.seed)},
                    },
                )
                for experiment in several
            ]
            for name, several in plan.experiments.items()
        }
        self.seeds.append(len(next(iter(runs.values()))))
        return SimpleNamespace(study=plan.study, runs=runs, folder=self.folder)


@pytest.mark.parametrize(
    ("apart", "options", "seeds"),
    [
        (0.3, {}, [3]),
        (0.0, {"difference": 0.02}, [3]),
        (0.0, {"at_most": 8}, [3, 4, 5, 6, 8]),
        (0.3, {"first": 6}, [6]),
    ],
)
def test_it_stops_when_all_is_decided(
    tmp_path: Path, apart: float, options: dict[str, Any], seeds: list[int]
) -> None:
    noise = np.random.default_rng(3).normal(0, 0.002, 50)
    runs = Runs(tmp_path, lambda name, seed: 0.6 + apart * (name == "convnet") + noise[seed]
                * (name == "mlp"))  # fmt: skip
    study = study_named("digits")
    plan, _ = run_until_decided(lambda count: planned(study, seeds=count), runs, **options)
    assert runs.seeds == seeds
    assert len(plan.experiments["mlp"]) == seeds[-1]


def test_a_study_that_compares_nothing_is_refused() -> None:
    alone = replace(study_named("digits"), baseline=None)
    with pytest.raises(CallError, match="study digits has no baseline"):
        run_until_decided(lambda count: planned(alone, seeds=count), lambda plan: None)


def test_the_command_says_what_was_decided(kept_digits: Path, tmp_path: Path) -> None:
    """Two of its seeds are kept."""
    shutil.copytree(kept_digits.parent, tmp_path, dirs_exist_ok=True)
    words = ["run", "digits", "--epochs", "3", "--until-decided", "--difference", "0.01",
             "--at-most", "4", "--runs", str(tmp_path / "runs"),
             "--models", str(tmp_path / "models")]  # fmt: skip
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    [file] = (tmp_path / "runs").glob(f"studies/*/{LOOKS}")
    for text in (done.output, (file.parent / "report.html").read_text(encoding="utf-8")):
        assert "Are the differences in test accuracy decided?" in text
        assert "convnet minus mlp: " in text
        assert "hold together" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits", "--difference", "0.1"), "--difference: only with --until-decided"),
        (("digits", "--until-decided", "--folds", "3"), "counts seeds; folds are fixed"),
        (("digits", "--until-decided", "--seeds", "9", "--at-most", "5"), "ends with 5"),
        (("fashion", "--sample", "--until-decided"), "no baseline"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(main, ["run", *words, "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("kerascw:") == 1
