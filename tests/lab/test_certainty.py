"""How sure a study's test accuracies are: from kept predictions to sentences and ``power``."""

import shutil
from itertools import product as product_of
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import kerascw
from kerascw.commands.main import main
from kerascw.evaluation.significance import joint_reach, joint_spread, seeds_needed
from kerascw.lab.certainty import accuracy_of, certainty_answers, comparisons_of
from kerascw.lab.published import Published
from kerascw.lab.repeats import hits_of
from kerascw.lab.table import rows_of
from kerascw.runs.store import Run


@pytest.fixture(scope="module")
def product(kept_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> kerascw.run:
    """Digits over three seeds, two of which are kept."""
    folder = shutil.copytree(kept_digits, tmp_path_factory.mktemp("sure") / "runs")
    return kerascw.run("digits", epochs=3, seeds=3, runs=folder, models=None)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def right(run) -> np.ndarray:
    with np.load(run.folder / "predictions.npz") as file:
        return file["test_probabilities"].argmax(axis=1) == file["test_labels"]


def test_a_comparison_is_that_of_the_kept_predictions(product) -> None:
    (found,) = comparisons_of(product)
    assert (found.variant, found.baseline) == ("convnet", "mlp")
    tables = [np.stack([right(run) for run in product.runs[name]]) for name in ("convnet", "mlp")]
    apart = tables[0].astype(float) - tables[1]
    assert found.difference == joint_spread(apart, (-1.0, 1.0))
    assert found.adjusted == found.difference.p_value  # of one comparison
    by_seed = apart.mean(axis=1)
    assert found.deviation == pytest.approx(by_seed.std(ddof=1))
    assert found.seeds(0.01) == seeds_needed(0.01, found.deviation)
    flipped = np.array(list(product_of((1, -1), repeat=3))) @ by_seed
    as_far = np.abs(flipped) >= abs(by_seed.sum()) - 1e-12
    assert found.sign_flip == as_far.mean()


def test_variants_with_other_test_images_are_not_paired(product, tmp_path: Path) -> None:
    from dataclasses import replace

    others = []
    for run in product.runs["mlp"]:
        folder = shutil.copytree(run.folder, tmp_path / run.name)
        with np.load(folder / "predictions.npz") as file:
            kept = dict(file)
        kept["test_labels"] = kept["test_labels"][::-1]
        np.savez(folder / "predictions.npz", **kept)
        others.append(Run(folder))
    assert comparisons_of(replace(product, runs={**product.runs, "mlp": others})) == []


def test_a_variants_interval_is_within_the_bounds(product) -> None:
    joint = accuracy_of(product.runs["mlp"])
    accuracies = [run.metrics["test"]["accuracy"] for run in product.runs["mlp"]]
    assert joint.mean == pytest.approx(np.mean(accuracies))
    assert 0 <= joint.interval[0] < joint.mean < joint.interval[1] <= 1
    assert accuracy_of(product.runs["mlp"][:1]) is None


def test_a_verdict_says_which_noise_it_counted(product) -> None:
    """Errors of test and validation set over both; a loss, an epoch's figure over seeds alone."""
    from dataclasses import replace

    said = {}
    for name in ("test.error", "validation.accuracy", "test.loss", "epoch_3.validation_error"):
        printed = {"mlp": {name: Published(0, "a report")}}
        study = replace(product.study, published=lambda it=printed: it, figures=(name,))
        plan = replace(product.plan, study=study, budget="full", changed={})
        (cell,) = rows_of(replace(product, plan=plan))[0].cells
        said[name] = cell.verdict.reason
    hits = np.stack([right(run) for run in product.runs["mlp"]])
    assert said["test.error"].endswith(
        f"interval over 3 seeds and 447 test images, ±{joint_reach(hits):.4f}"
    )
    held = len(np.load(product.runs["mlp"][0].folder / "predictions.npz")["validation_labels"])
    assert f"over 3 seeds and {held} validation images, ±" in said["validation.accuracy"]
    for name in ("test.loss", "epoch_3.validation_error"):
        assert "over 3 seeds, ±" in said[name]


def test_seeds_with_validation_sets_of_their_own_have_no_table(product) -> None:
    runs = product.runs["mlp"]
    assert hits_of(runs, "validation.error").shape[0] == 3
    data = runs[0].experiment.data
    other = Run(runs[0].folder)
    held = data.model_copy(update={"holdout": data.holdout.model_copy(update={"seed": 77})})
    other.__dict__["experiment"] = runs[0].experiment.model_copy(update={"data": held})
    assert hits_of([other, *runs[1:]], "validation.error") is None


def test_pages_and_terminal_say_it(product) -> None:
    questions = [answer.question for answer in certainty_answers(product)]
    assert questions[-1] == "How many seeds are enough?"
    page = product.report().read_text(encoding="utf-8")
    assert all(question in page for question in questions)
    assert "447 test images alone" in page
    assert "On other images of the same number no count of seeds finds less than 0.0" in page


def test_power_is_a_table(product) -> None:
    runs = str(product.run.folder.parent)
    shown = call("power", product.plan.label, "--difference", "0.05", "--runs", runs)
    assert shown.exit_code == 0, shown.output
    (found,) = comparisons_of(product)
    (line,) = [line for line in shown.output.splitlines() if "convnet minus mlp" in line]
    assert line.split()[-1] == f"{found.seeds(0.05):,}"
    assert call("power", product.plan.label, "--difference", "2", "--runs", runs).exit_code == 2


def test_power_of_too_few_seeds_is_refused(kept_digits: Path) -> None:
    refused = call("power", "digits", "--runs", str(kept_digits))
    assert refused.exit_code == 2
    assert "run it with --seeds 3 or more" in refused.stderr


def test_a_p_value_is_below_five_percent_where_the_interval_excludes_zero() -> None:
    random = np.random.default_rng(0)
    for shift in np.linspace(0, 0.3, 16):
        joint = joint_spread(random.normal(shift, 1, (5, 200)))
        low, high = joint.interval
        assert (joint.p_value < 0.05) == (low > 0 or high < 0)
