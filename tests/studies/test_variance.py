"""Separate seeds for the sources of randomness, and how much noise each brings."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from kerascw.commands.main import main
from kerascw.data import Dataset
from kerascw.experiment.settings import override
from kerascw.experiment.spec import DenseNet, Experiment, Seeds
from kerascw.lab.derive import repeated
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.runs.summary import read_summary
from kerascw.studies import study_named
from kerascw.studies.variance import ALL, sources_of, variance_answers


def seeded(experiment: Experiment, seed: int, **own: int) -> Experiment:
    return experiment.model_copy(update={"seed": seed, "seeds": Seeds(**own)})


def test_the_default_leaves_keys_alone(small: Experiment) -> None:
    assert "seeds" not in small.canonical_json()
    assert seeded(small, 0, weights=0).key("data") != small.key("data")


def test_seeds_of_their_own_are_those_seeds(
    small: Experiment, sample: Dataset, tmp_path: Path,
    assert_same_run: Callable[[Run, Run], None],
) -> None:  # fmt: skip
    """All four pinned give the run of that seed, whatever the experiment's own."""
    short = override(
        small.model_copy(update={"model": DenseNet(dense=(16,), dropout_rate=0.3)}),
        {"training.epochs": 1},
    )
    store = Store(tmp_path)
    names = ("weights", "dropout", "order", "augmentation")
    of_one = run_experiment(seeded(short, 1), sample, store)
    pinned = run_experiment(seeded(short, 7, **dict.fromkeys(names, 1)), sample, store)
    assert pinned.name != of_one.name
    assert (pinned.folder / "history.csv").read_bytes() == (
        of_one.folder / "history.csv"
    ).read_bytes()
    losses = {of_one.history[0]["train_loss"]}
    for source in names:  # each one alone changes what is trained
        changed = seeded(short, 1, **{source: 7})
        losses.add(run_experiment(changed, sample, store).history[0]["train_loss"])
    assert len(losses) == 5


def test_variants_vary_one_source_each(small: Experiment) -> None:
    variants = sources_of(small)
    assert list(variants) == [
        ALL, "initial weights", "dropout", "order of images", "augmentation", "validation split",
    ]  # fmt: skip
    for name, experiment in variants.items():
        first, second = repeated(experiment, [1, 2])
        own = [
            [e.seed_of(s) for s in ("weights", "dropout", "order", "augmentation")]
            + [e.data.holdout.seed if e.data.holdout else None]
            for e in (first, second)
        ]
        differ = [a != b for a, b in zip(*own, strict=True)]
        assert sum(differ) == (5 if name == ALL else 1), name
    assert first.data.holdout is not None
    assert first.data.holdout.how == "stratified"
    dropped = DenseNet(dense=(16,), dropout_rate=0.3)
    assert "dropout" in sources_of(small.model_copy(update={"model": dropped}))
    plain = sources_of(study_named("digits").variants()["mlp"])
    assert list(plain) == [ALL, "initial weights", "order of images", "validation split"]


def test_deviations_are_those_of_the_values() -> None:
    def runs(values: list[float]) -> list[Any]:
        return [
            SimpleNamespace(
                metrics={"status": "finished", "test": {"accuracy": v, "examples": 400}},
                experiment=SimpleNamespace(fold=None, seed=k),
            )
            for k, v in enumerate(values)
        ]

    random = np.random.default_rng(0)
    drawn = {
        ALL: random.normal(0.8, 0.05, 400).tolist(),
        "initial weights": random.normal(0.8, 0.03, 400).tolist(),
        "order of images": random.normal(0.8, 0.04, 400).tolist(),
    }
    drawn[ALL] = [value + 0.8 - float(np.mean(drawn[ALL])) for value in drawn[ALL]]
    which, total, chance = variance_answers({name: runs(v) for name, v in drawn.items()})
    assert which.answer.startswith("Order of images has the largest standard deviation.")
    low, high = 0.03 * 0.9, 0.03 * 1.1  # of 400 values, +-7 % at 95 %
    said = float(which.answer.split("initial weights ")[1].split(" ")[0])
    assert low < said < high
    share = float(total.answer.split("add up to ")[1].split("%")[0])
    assert share == pytest.approx(100, abs=20)
    assert "by 0.0200" in chance.answer  # sqrt(0.8 * 0.2 / 400)

    few = {name: runs(own[:6]) for name, own in drawn.items()}
    few["dropout"] = runs([0.8, 0.8001, 0.7999, 0.8, 0.8, 0.8])
    largest, *near = sorted(list(few)[1:3], key=lambda name: -float(np.std(drawn[name][:6])))
    said = variance_answers(few)[0].answer
    assert said.startswith(
        f"{largest.capitalize()} has the largest standard deviation, not significantly larger than "
        f"that of {near[0]} (F-test at 95 %). Standard deviations over 6 seeds"
    )


def test_the_command(tmp_path: Path) -> None:
    words = ["variance", "digits", "--seeds", "3", "--epochs", "1", "--runs", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert len(Store(tmp_path).all()) == 12
    assert "Which source of randomness moves the test accuracy most?" in done.output
    folder = next((tmp_path / "studies").iterdir())
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "has the largest standard deviation" in page
    assert "Validation chooses" not in page
    kept = read_summary(folder)
    assert kept is not None
    assert kept.text.endswith("(all sources)")
    again = CliRunner().invoke(main, ["report", folder.name, "--runs", str(tmp_path)])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits", "--variant", "cnn"), "--variant: 'cnn'; choose from mlp, convnet"),
        (("bag-pretraining",), "choose a classifier"),
        (("nothing",), "no study 'nothing'"),
    ],
)
def test_a_wrong_call_is_one_line(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["variance", *words, "--runs", str(tmp_path)])
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("\n") == 1
