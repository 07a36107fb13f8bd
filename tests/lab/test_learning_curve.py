"""Learning curves: what runs on growing parts of the data say, and the command that trains them."""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from scipy import stats

from kerascw.commands.learning_curve import fractions_of
from kerascw.commands.main import main
from kerascw.evaluation.statistics import is_shown
from kerascw.experiment.spec import (
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    Holdout,
    TrainingSpec,
    WarmStart,
)
from kerascw.lab.curves import (
    Comparison,
    Curve,
    CurveFigures,
    Point,
    by_initialisation,
    curve_variants,
    curves_of,
    place_of,
    same_fraction_of,
    variant,
)
from kerascw.lab.learning_answers import (
    comparison_answers,
    learning_curve_answers,
    power_law_answer,
    power_law_cautions,
)
from kerascw.lab.power_law import Parameters, PowerLaw, fit_power_law
from kerascw.report.charts import COLOURS
from kerascw.report.figure_files import write_figures
from kerascw.report.learning_curve import learning_curve_pictures, paired_differences
from kerascw.runs.store import Run, Store
from kerascw.studies import all_studies, recall
from kerascw.studies.learning_curve import _sources, planned_curve, shared_layers

FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
TINY = Experiment(
    data=DataSpec(name="digits", holdout=Holdout(how="stratified", count=135)),
    model=DenseNet(dense=(8,)),
    training=TrainingSpec(epochs=2, batch_size=128),
)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


# --- made-up runs and curves ----------------------------------------------------------------


def made_run(
    folder: Path, fraction: float, seed: int, loss: float, *, status: str = "finished",
    data: Mapping[str, object] | None = None,
) -> Run:  # fmt: skip
    """What a run's folder has of a run with this validation loss."""
    own = TINY.data.model_copy(update={"fraction": fraction} | dict(data or {}))
    experiment = TINY.model_copy(update={"seed": seed, "data": own})
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(
        json.dumps({"experiment": experiment.model_dump(mode="json")})
    )
    metrics: dict[str, object] = {"status": status, "epochs_trained": 2, "kept_epoch": 2}
    if status == "diverged":
        metrics |= {"kept_epoch": None, "reason": "a figure of epoch 2 is not finite"}
    else:
        metrics |= {
            "train": {"examples": round(1000 * fraction), "loss": loss / 2, "accuracy": 1.0},
            "validation": {"examples": 100, "loss": loss, "accuracy": 1 - loss / 3},
            "test": {"examples": 100, "loss": loss, "accuracy": 1 - loss / 2},
        }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    environment = {"data": {"title": "digits", "source": "scikit-learn", "official_bytes": True,
                            "fingerprint": "ab", "sha256": {}}}  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "history.csv").write_text("epoch,train_loss\n1,2.0\n2,1.0\n")
    return Run(folder)


Made = Callable[[dict[str, Sequence[Sequence[float]]]], dict[str, dict[float, list[Run]]]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Runs from validation losses: for every initialisation, fraction and seed; NaN diverged."""

    def make(losses: dict[str, Sequence[Sequence[float]]]) -> dict[str, dict[float, list[Run]]]:
        return {
            name: {
                fraction: [
                    made_run(
                        tmp_path / f"{name}-{fraction}-{seed}", fraction, seed, loss,
                        status="diverged" if math.isnan(loss) else "finished",
                    )
                    for seed, loss in enumerate(row)
                ]
                for fraction, row in zip(FRACTIONS, rows, strict=False)
            }
            for name, rows in losses.items()
        }  # fmt: skip

    return make


def curve(name: str, rows: Sequence[Sequence[float]], figure: str = "validation.loss") -> Curve:
    return Curve(
        name,
        figure,
        tuple(
            Point(fraction, round(1000 * fraction), tuple(range(len(row))), tuple(row))
            for fraction, row in zip(FRACTIONS, rows, strict=False)
        ),
    )


def means(name: str, *values: float, figure: str = "validation.loss") -> Curve:
    """A curve of one seed."""
    return curve(name, [[value] for value in values], figure)


def answers_of(one: Curve, other: Curve) -> list[str]:
    return [answer.answer for answer in comparison_answers(Comparison(one, other))]


# --- curves from runs -----------------------------------------------------------------------


def test_a_curve_has_its_pictures_and_values(made: Made) -> None:
    curves = curves_of(made({"random": [[1.0, 1.2, 1.1], [0.5, 0.7, 0.6]]}), "validation.loss")
    small, large = curves["random"].points
    assert (small.fraction, small.examples, small.seeds) == (0.05, 50, (0, 1, 2))
    assert large.values == (0.5, 0.7, 0.6)
    assert small.values == (1.0, 1.2, 1.1)


def test_diverged_runs_are_left_out_and_counted(made: Made) -> None:
    """Differences are over the seeds that both have; a fraction without any has none."""
    nan = float("nan")
    runs = made({
        "random": [[nan, 1.2, 1.4], [0.5, 0.7, 0.6]],
        "warm": [[1.0, 1.0, 1.3], [nan, nan, nan]],
    })  # fmt: skip
    curves = curves_of(runs, "validation.loss")
    point = curves["random"].points[0]
    assert (point.seeds, point.values) == ((1, 2), (1.2, 1.4))
    assert curves["warm"].points[1].values == ()
    (difference,) = Comparison(curves["warm"], curves["random"]).differences
    assert (difference.fraction, difference.spread.n) == (0.05, 2)
    assert difference.spread.mean == pytest.approx(-0.15)
    said = {answer.question: answer.answer for answer in learning_curve_answers(runs)}
    assert said["Which runs diverged and are left out?"] == (
        "random at 5 %: 1 of 3; warm at 10 %: 3 of 3."
    )
    assert learning_curve_pictures(runs).keys() == {"learning_curve", "paired_difference"}


# --- two initialisations --------------------------------------------------------------------


def test_the_differences_are_paired_by_seed() -> None:
    ones, others = [0.61, 0.72, 0.66], [0.64, 0.74, 0.70]
    (difference,) = Comparison(curve("warm", [ones]), curve("random", [others])).differences
    expected = stats.ttest_rel(ones, others).confidence_interval(0.95)
    assert difference.spread.interval == pytest.approx((expected.low, expected.high))
    assert is_shown(difference.spread)


def test_always_better_and_until_where_that_is_significant() -> None:
    random = curve("random", [[1.0, 1.1, 1.2], [0.8, 0.9, 1.0], [0.5, 0.6, 0.7], [0.3, 0.4, 0.5]])
    warm = curve(
        "warm", [[0.80, 0.91, 1.01], [0.70, 0.81, 0.9], [0.4, 0.65, 0.6], [0.2, 0.45, 0.4]]
    )
    assert answers_of(warm, random) == [
        "warm has the better mean at all 4 fractions. Significant at 95 % (paired t-interval over "
        "the seeds, each of the 4 comparisons by itself): at 5 % and 10 %.",
        "The mean curves do not cross between 5 % and 50 %.",
        "From 20 % (200 images): there and at all larger fractions the 95 % confidence interval of "
        "the difference, not adjusted for the number of comparisons, includes zero, which does not "
        "prove the two equal.",
    ]


def test_an_accuracy_is_better_when_it_is_higher() -> None:
    low = curve("low", [[0.1, 0.2], [0.2, 0.3]], "test.accuracy")
    high = curve("high", [[0.3, 0.4], [0.4, 0.5]], "test.accuracy")
    assert answers_of(low, high)[0].startswith("high has the better mean at all 2 fractions.")
    loss = [curve(c.name, [p.values for p in c.points], "test.loss") for c in (low, high)]
    assert answers_of(*loss)[0].startswith("low has the better mean at all 2 fractions.")


def test_where_curves_cross() -> None:
    random = means("random", 1.0, 0.8, 0.6, 0.4, 0.2)
    warm = means("warm", 0.9, 0.7, 0.7, 0.3, 0.1)
    comparison = Comparison(warm, random)
    assert comparison.crossings == [(0.1, 0.2), (0.2, 0.5)]
    better, cross, until = answers_of(warm, random)
    assert better == (
        "Neither. The better mean has warm at 5 %, 10 %, 50 % and 100 %; random at 20 %. "
        "With fewer than 3 seeds there is no confidence interval, so no difference is called "
        "significant."
    )
    assert cross == "The mean curves cross between 10 % and 20 % and between 20 % and 50 %."
    assert until.startswith("With fewer than 3 seeds there is no confidence interval")


def test_a_tie_is_no_crossing_unless_the_sides_change_around_it() -> None:
    random = means("random", 1.0, 0.8, 0.6)
    assert Comparison(means("warm", 0.9, 0.8, 0.5), random).crossings == []
    assert Comparison(means("warm", 0.9, 0.8, 0.7), random).crossings == [(0.05, 0.2)]
    better, *_ = answers_of(means("warm", 0.9, 0.8, 0.5), random)
    assert better.startswith("Neither. The better mean has warm at 5 % and 20 %; neither at 10 %.")


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        # each: whether the difference is significant at 5, 10, 20 %
        ((True, True, True), "There is none: at the largest fraction, 20 %, warm is still"),
        ((False, False, True), "There is none: at the largest fraction, 20 %, warm is still"),
        ((True, False, False), "From 10 % (100 images): there and at all larger"),
        ((False, True, False), "Only at the largest, 20 % (200 images): there the 95 %"),
        ((False, False, False), "From the smallest, 5 % (50 images): no difference is"),
    ],
)
def test_from_where_on_no_difference_is_significant(gaps: tuple[bool, ...], said: str) -> None:
    random = curve("random", [[1.0, 1.0, 1.0] for _ in gaps])
    shown, hidden = [0.9, 0.91, 0.92], [0.9, 1.15, 0.9]
    warm = curve("warm", [shown if gap else hidden for gap in gaps])
    comparison = Comparison(warm, random)
    assert tuple(is_shown(d.spread) for d in comparison.differences) == gaps
    assert answers_of(warm, random)[2].startswith(said)


def test_with_one_seed_nothing_is_significant() -> None:
    comparison = Comparison(means("warm", 0.9, 0.5), means("random", 1.0, 0.8))
    better, _, until = answers_of(comparison.curve, comparison.baseline)
    assert better == (
        "warm has the better mean at all 2 fractions. With fewer than 3 seeds there is no "
        "confidence interval, so no difference is called significant."
    )
    assert until in better


# --- the power law --------------------------------------------------------------------------


def law_curve(
    a: float,
    b: float,
    c: float,
    pictures: Sequence[int],
    seeds: int = 1,
    noise: float = 0.0,
    number: int = 5,
) -> Curve:
    """Accuracies whose errors are a n^-b + c, with relative noise, drawn from ``number``."""
    random = np.random.default_rng(number)
    points = []
    for n in pictures:
        errors = (a * n**-b + c) * (1 + noise * random.standard_normal(seeds))
        points.append(Point(n / pictures[-1], n, tuple(range(seeds)), tuple((1 - errors).tolist())))
    return Curve("random", "test.accuracy", tuple(points))


def fitted(curve: Curve) -> PowerLaw:
    law = fit_power_law(curve)
    assert law is not None
    return law


def more_pictures(a: float, b: float, c: float, n: int, gain: float = 0.01) -> float:
    """The closed form: where the error is that of n less the gain."""
    return (a / (a * n**-b - gain)) ** (1 / b) - n


@pytest.mark.parametrize(
    ("a", "b", "c", "pictures"),
    [
        (2.0, 0.5, 0.05, (50, 100, 200, 500, 1000)),
        (3.0, 0.35, 0.0, (2750, 5500, 11000, 27500, 55000)),
        (40.0, 1.0, 0.02, (60, 120, 240, 600, 1200)),
    ],
)
def test_without_noise_the_law_is_found(
    a: float, b: float, c: float, pictures: tuple[int, ...]
) -> None:
    law = fitted(law_curve(a, b, c, pictures))
    assert (law.a, law.fitted.b, law.fitted.c) == pytest.approx((a, b, c), rel=1e-3, abs=1e-4)
    assert law.r_squared == pytest.approx(1)
    assert law.error(777) == pytest.approx(a * 777**-b + c, rel=1e-3)
    more = law.images_for()
    assert more.images == pytest.approx(more_pictures(a, b, c, pictures[-1]), rel=1e-2)
    assert not more.is_far


@pytest.mark.parametrize("seeds", [1, 3])
def test_with_noise_most_intervals_hold_the_law(seeds: int) -> None:
    """Of twelve curves: with 95 % each, nine or more of one parameter in 998 of 1,000 cases."""
    a, b, c, pictures = 2.0, 0.5, 0.05, (50, 100, 200, 500, 1000, 2000)
    true = {"b": b, "c": c, "more": more_pictures(a, b, c, 2000), "last": a * 2000**-b + c}
    held = dict.fromkeys(true, 0)
    for number in range(12):
        law = fitted(law_curve(a, b, c, pictures, seeds, 0.02, number))
        intervals = {
            "b": law.interval(lambda drawn: drawn.b),
            "c": law.interval(lambda drawn: drawn.c),
            "more": law.images_for().interval,
            "last": law.error_interval(2000),
        }
        for name, interval in intervals.items():
            assert interval is not None
            held[name] += interval[0] <= true[name] <= interval[1]
        assert law.images_for().images == pytest.approx(true["more"], rel=0.5)
    assert min(held.values()) >= 9, held
    assert fit_power_law(law.curve) is law  # drawn once, the same whenever it is asked for


def test_more_noise_makes_wider_intervals() -> None:
    widths = []
    for noise in (0.01, 0.05):
        law = fitted(law_curve(2, 0.5, 0.05, (50, 100, 200, 500, 1000), 3, noise))
        interval = law.interval(lambda drawn: drawn.b)
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[1] > 2 * widths[0]


def test_a_floor_that_is_near_is_no_number_of_pictures() -> None:
    """At 1,000 pictures the error is 0.008 above the floor: a point is not to be had."""
    law = fitted(law_curve(8, 1.0, 0.1, (20, 50, 100, 300, 1000), 3, noise=0.002))
    assert law.images_for().images == math.inf
    answer = power_law_answer(law)
    assert answer.question == (
        "How many more images would gain one percentage point of test accuracy, random?"
    )
    assert answer.answer.startswith("By the fitted law, no number of them would")
    assert math.isfinite(law.images_for(0.004).images)


def test_a_good_fit_is_a_sentence_without_caution() -> None:
    law = fitted(law_curve(2, 0.5, 0.05, (50, 100, 200, 500, 1000), 5, noise=0.01))
    assert power_law_cautions(law) == []
    said = power_law_answer(law).answer
    assert said.startswith("About 4")
    assert " beyond 1,000 (95 % CI " in said
    assert "by the fitted law: error = " in said
    assert "Caution" not in said


def test_flat_errors_are_no_law() -> None:
    flat = curve("random", [[0.6, 0.62, 0.58], [0.61, 0.58, 0.6], [0.59, 0.6, 0.62],
                            [0.6, 0.6, 0.59], [0.61, 0.6, 0.58]], "test.accuracy")  # fmt: skip
    law = fitted(flat)
    assert law.error(50) == pytest.approx(0.4, abs=0.02)
    assert law.error(1000) == pytest.approx(0.4, abs=0.02)
    said = power_law_answer(law).answer
    assert "Caution: the error does not fall significantly from the first to the last" in said
    assert "is below 0.9: the errors do not follow the law" in said
    same = fitted(means("random", 0.6, 0.6, 0.6, 0.6, 0.6, figure="test.accuracy"))
    assert same.images_for().images == math.inf
    assert same.r_squared == 0
    assert "one seed and no residuals: no confidence intervals" in power_law_cautions(same)


def test_rising_errors_are_called_poor() -> None:
    rising = curve("random", [[0.8, 0.81], [0.75, 0.76], [0.7, 0.72], [0.6, 0.63], [0.5, 0.52]],
                   "test.accuracy")  # fmt: skip
    law = fitted(rising)
    assert law.r_squared < 0.9
    assert law.is_flat


def test_too_few_points_and_too_far_are_said() -> None:
    assert fit_power_law(law_curve(2, 0.5, 0.05, (50, 200, 1000), 3, noise=0.01)) is None
    # 0.5 n^-0.1: a point takes some 40 per cent more pictures, four take nine times as many
    slow = fitted(law_curve(0.5, 0.1, 0.0, (100, 200, 400, 1000, 2000), 5, noise=0.001))
    assert not slow.images_for(0.01).is_far
    assert slow.images_for(0.06).is_far
    answer = power_law_answer(replace(slow, fitted=Parameters(0.2, 0.02, 0.0)))
    assert "would gain one percentage point of test accuracy" in answer.question
    assert "this is more than 10 times what was measured" in answer.answer


def test_perfect_seeds_and_a_single_mistake_can_be_fitted() -> None:
    """No deviation at some fractions, and no error at the last."""
    rows = [[0.6, 0.6], [0.8, 0.82], [0.9, 0.9], [0.97, 0.96], [1.0, 1.0]]
    law = fitted(curve("random", rows, "test.accuracy"))
    assert all(math.isfinite(value) for value in law.fitted)
    assert law.images_for().images == math.inf  # there is no point to gain any more


# --- views ----------------------------------------------------------------------------------


def three(made: Made) -> dict[str, dict[float, list[Run]]]:
    random = np.random.default_rng(2)
    laws = {"random": (1.0, 0.5), "warm": (0.4, 0.3), "frozen": (0.5, 0.2)}
    return made({
        name: [
            (a * (2 + 100 * fraction) ** -b * (1 + 0.02 * random.standard_normal(3))).tolist()
            for fraction in FRACTIONS
        ]
        for name, (a, b) in laws.items()
    })  # fmt: skip


def rows_of(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows that a panel of a page is drawn from."""
    return [row for rows in panel["datasets"].values() for row in rows]


def test_the_pictures_are_drawn(made: Made, tmp_path: Path) -> None:
    runs = three(made)
    drawn = learning_curve_pictures(runs)
    assert list(drawn) == ["learning_curve", "paired_difference", "power_law"]
    for name, shown in write_figures(drawn, tmp_path).items():
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture))) > 50
        assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
        assert len(shown.alt) > 80
    chart, _ = drawn["learning_curve"]
    training, validation = chart.page_specs()
    assert [panel["title"] for panel in (training, validation)] == ["training", "validation"]
    assert [key.name for key in chart.series] == ["random", "warm", "frozen"]
    rows = rows_of(validation)
    assert len(rows) == 3 * len(FRACTIONS)
    assert sorted({row["x"] for row in rows}) == [50, 100, 200, 500, 1000]
    losses = curves_of(runs, "validation.loss")["random"].points[0].values
    assert rows[0]["y"] == pytest.approx(np.mean(losses), rel=1e-4)
    law, _ = drawn["power_law"]
    (panel,) = law.page_specs()
    measured = [row for row in rows_of(panel) if "low" not in row and "line" in row]
    assert len(measured) == 3 * len(FRACTIONS) * 3
    assert max(row["x"] for row in rows_of(panel) if "low" in row) >= 4000


def test_the_bands_of_the_differences_are_their_intervals() -> None:
    random = curve("random", [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    warm = curve("warm", [[0.9, 0.91, 0.92], [0.9, 1.15, 0.9]])
    chart = paired_differences([Comparison(warm, random)])
    (panel,) = chart.page_specs()
    rows = [row for row in rows_of(panel) if "low" in row]
    spreads = [d.spread.interval for d in Comparison(warm, random).differences]
    for row, spread in zip(rows, spreads, strict=True):
        assert (row["low"], row["high"]) == pytest.approx(spread, rel=1e-5)
    assert chart.series[0].colour == COLOURS[1]  # as in the curves, after the baseline
    assert "below: better than random" in json.dumps(panel)
    assert chart.numbers.startswith("warm -0.09 at training images 50")


# --- the study ------------------------------------------------------------------------------


def test_a_learning_curve_is_initialisations_at_fractions() -> None:
    start = WarmStart(source=TINY, layers=("dense_1",))
    variants = curve_variants(TINY, {"random": None, "a, b": start}, (0.025, 1.0))
    assert list(variants) == ["random, 2.5%", "random, 100%", "a, b, 2.5%", "a, b, 100%"]
    own = TINY.data.model_copy(update={"fraction": 0.025})
    assert variants["a, b, 2.5%"] == TINY.model_copy(update={"data": own, "start": start})
    assert [place_of(name) for name in ("a, b, 2.5%", "other", "x, y")] == [
        ("a, b", "2.5%"), ("other", ""), ("x, y", ""),
    ]  # fmt: skip
    base_of = same_fraction_of("random")
    assert [base_of(name) for name in (*variants, "other")] == [
        None, None, "random, 2.5%", "random, 100%", None,
    ]  # fmt: skip


def test_runs_are_found_by_initialisation_and_fraction(made: Made) -> None:
    curves = made({"random": [[1.0], [0.5]], "warm": [[0.9], [0.4]]})
    flat = {
        variant(name, fraction): runs
        for name, by_fraction in curves.items()
        for fraction, runs in reversed(by_fraction.items())
    }
    assert by_initialisation(flat | {"the autoencoder": curves["random"][0.05]}) == curves
    assert list(by_initialisation(flat)["warm"]) == [0.05, 0.1]


def test_figures_of_the_best_epoch(made: Made) -> None:
    """The lowest loss of any epoch, and the accuracy of the epoch of lowest validation loss."""
    (run,) = made({"random": [[1.0]]})["random"][0.05]
    (run.folder / "history.csv").write_text(
        "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n"
        "1,2.0,0.1,0.9,0.5\n2,1.0,0.2,0.6,0.4\n3,0.5,0.3,0.7,0.6\n"
    )
    shows = CurveFigures("lowest.train_loss", "lowest.validation_loss")
    runs = {"random": {0.05: [run]}}
    assert curves_of(runs, shows.training)["random"].points[0].values == (0.5,)
    assert curves_of(runs, shows.validation)["random"].points[0].values == (0.6,)
    at_best = curves_of(runs, "lowest_validation_loss.validation_accuracy")
    assert at_best["random"].points[0].values == (0.4,)
    assert learning_curve_pictures(runs, shows).keys() == {"learning_curve"}


# --- the command ----------------------------------------------------------------------------


def test_fractions_are_percentages_or_numbers_below_1() -> None:
    assert fractions_of("100%, 5%,0.025,0.05") == [0.025, 0.05, 1.0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fractions", "5%,0"], "--fractions '0': write a percentage up to 100%, or a number"),
        (["--fractions", "5%,,10%"], "--fractions '': write a percentage"),
        (["--fractions", "nan"], "--fractions 'nan': write a percentage"),
        (["--fractions", "5,10"], "--fractions '5': write a percentage"),
        (["--fractions", "1"], "--fractions '1': write a percentage"),
        (["--fractions", "0.01%,0.02%"],
         "--fractions: 0.01 % and 0.02 % of 1,215 training images are the same 10"),
        (["--model", "digit"], "--model 'digit': no such study; choose fashion"),
        (["--model", "bag-pretraining"], "the autoencoder, is an autoencoder, which has no acc"),
        (["--dataset", "digitz"], "no dataset 'digitz'; choose"),
        (["--dataset", "folder:nowhere"], "nowhere"),
        (["--init", "random,random"], "--init: random is named twice"),
        (["--init", ","], "--init: names nothing"),
        (["--init", "random,nothing"], "--init 'nothing' is neither random, a file nor a study ("),
        (["--freeze"], "--freeze: --init names random weights only"),
        (["--set", "data.fraction=0.5"], "--set data.fraction: use --fractions"),
        (["--set", "seed=3"], "--set seed: use --seeds"),
        (["--set", "start.frozen=true"], "--set start.frozen: use --init"),
        (["--set", "data.holdout=none", "--set", "training.keep=last",
          "--set", "training.patience=none"], "there is no validation set"),
        (["--epochs", "0"], "training.epochs: Input should be greater than 0"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_before_anything_is_trained(
    words: list[str], said: str, tmp_path: Path
) -> None:
    given = ["--dataset", "digits", "--model", "digits", *words]
    result = call("learning-curve", *given, "--runs", str(tmp_path / "runs"))
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("runs/*-*"))


def test_a_source_of_which_nothing_fits_is_one_line(tmp_path: Path) -> None:
    other = TINY.model_copy(update={"model": DenseNet(dense=(9,))})
    (tmp_path / "other.json").write_text(other.canonical_json())
    given = ["--dataset", "digits", "--model", "digits", "--init", str(tmp_path / "other.json")]
    result = call("learning-curve", *given, "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 2
    assert result.stderr == (
        "kerascw: --init other: no layer but the output has the same name and shape of weights in "
        "both models\n"
    )
    (tmp_path / "broken.json").write_text("{")
    given[-1] = str(tmp_path / "broken.json")
    result = call("learning-curve", *given, "--runs", str(tmp_path / "runs"))
    assert f"{tmp_path / 'broken.json'}: no JSON" in result.stderr


def test_only_layers_of_equal_names_and_shapes_are_taken_over() -> None:
    """Of another dataset: pictures of 28x28 to 8x8, ten classes each; dense layers do not fit."""
    base = TINY.model_copy(update={"model": ConvNet(
        filters=(4, 6), padding="same", pool_after=(1, 2), batch_norm=True, dense=(8, 5)
    )})  # fmt: skip
    source = base.model_copy(update={
        "data": DataSpec(name="fashion_mnist", sample=True, holdout=Holdout(count=100)),
        "model": base.model.model_copy(update={"filters": (4, 7)}),
    })  # fmt: skip
    assert shared_layers(base, source, None) == ("conv_1", "conv_1_norm", "dense_2")


def test_every_seed_starts_from_the_same_weights(tmp_path: Path) -> None:
    source = TINY.model_copy(update={"model": DenseNet(dense=(12,)), "seed": 9})
    (tmp_path / "first.json").write_text(source.canonical_json())
    asked: dict[str, Any] = {
        "model": "digits", "data": DataSpec(name="digits"), "fractions": (0.5, 1.0),
        "initialisations": f"random,{tmp_path / 'first.json'}", "freeze": True,
        "changes": {"model.dense": "12"},
    }  # fmt: skip
    plan = planned_curve(all_studies(), Store(tmp_path), seeds=2, **asked)
    assert list(plan.experiments) == ["random, 50%", "random, 100%", "first, 50%", "first, 100%"]
    start = WarmStart(source=source, layers=("dense_1",), frozen=True)
    for name, several in plan.experiments.items():
        assert [e.seed for e in several] == [0, 1]
        assert {e.start for e in several} == {start if name.startswith("first") else None}
        assert {variant(place_of(name)[0], e.data.fraction) for e in several} == {name}
    other = planned_curve(all_studies(), Store(tmp_path), seeds=3, **asked)
    assert other.label != plan.label


def test_experiments_of_kept_sweeps_are_as_before() -> None:
    """What a learning curve of an earlier version trained is found again."""
    study = replace(all_studies()["digits"], name="tiny", variants=lambda: {"tiny": TINY})
    plan = planned_curve(
        {"tiny": study}, Store("nowhere"), model="tiny", data=DataSpec(name="digits"),
        fractions=(0.2,), changes={"training.epochs": "3"},
    )  # fmt: skip
    assert plan.experiments["random, 20%"][1].canonical_json() == (
        '{"data":{"fraction":0.2,"holdout":{"count":135,"how":"stratified"},"name":"digits"},'
        '"model":{"dense":[8],"kind":"mlp"},"seed":1,"training":{"batch_size":128,"epochs":3}}'
    )


def test_what_init_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = made_run(tmp_path / "digits-mlp-0123456789abcdef", 0.1, 4, 1.0)
    (run.folder / "manifest.json").write_text("{}")
    (tmp_path / "mine.json").write_text(TINY.canonical_json())

    def named(text: str, *, sample: bool = False) -> dict[str, Experiment | None]:
        return _sources(text, all_studies(), store, sample=sample)

    every = named(f"random, digits,{tmp_path / 'mine.json'},0123")
    assert list(every) == ["random", "digits", "mine", "digits-mlp-012345"]
    assert every["random"] is None
    assert every["digits"] is not None
    assert every["digits"].training.epochs == 1000
    assert every["mine"] == TINY
    assert every["digits-mlp-012345"] == run.experiment
    for text in (str(run.folder), str(run.folder / "experiment.json")):
        assert named(text) == {"digits-mlp-012345": run.experiment}
    (sampled,) = named("fashion", sample=True).values()
    assert sampled is not None
    assert sampled.data.sample


def test_a_sweep_from_the_command_line(tmp_path: Path) -> None:
    """Random weights against those of another experiment, which is trained first."""
    runs = tmp_path / "runs"
    source = TINY.model_copy(update={"model": DenseNet(dense=(12,)), "seed": 9})
    (tmp_path / "first.json").write_text(source.canonical_json())
    words = [
        *("learning-curve", "--dataset", "digits", "--model", "digits", "--fractions", "20%,100%"),
        *("--seeds", "2", "--epochs", "3", "--set", "training.batch_size=128"),
        *("--set", "model.dense=12"),
        *("--init", f"random,{tmp_path / 'first.json'}", "--runs", str(runs)),
    ]
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "8 runs, 8 to train" in result.stdout
    assert "Learning curve of digits on digits (scikit-learn)" in result.stdout
    assert "Is first or random always better, by validation loss?" in result.stdout
    kept = [run for run in Store(runs).all() if run.experiment != source]
    assert len(kept) == 8
    warm = [run for run in kept if run.experiment.start]
    assert {run.experiment.start.layers for run in warm if run.experiment.start} == {("dense_1",)}
    assert sorted({run.metrics["train"]["examples"] for run in kept}) == [242, 1215]

    (folder,) = (path.parent for path in runs.glob("studies/*/study.json"))
    assert folder.name.startswith("learning-curve-digits-digits-")
    page = (folder / "report.html").read_text(encoding="utf-8")
    # two fractions are too few for a power law; the learning curve opens the page
    drawn = re.findall(r'<figure [^>]*data-name="(.*?)"', page)
    assert drawn == ["learning_curve", "loss", "accuracy", "paired_difference"]
    assert "All seeds start from the same weights of first" in page
    for run in kept:
        assert run.name in page
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    assert figures == [f"{name}.{kind}" for name in sorted(drawn) for kind in ("png", "svg")]
    (folder / "report.html").unlink()
    said = call("report", folder.name, "--runs", str(runs))
    assert (said.exit_code, "study report:" in said.stdout) == (0, True), said.output
    again = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<figure [^>]*data-name="(.*?)"', again) == drawn
    assert recall(folder.name, Store(runs)).study.arguments == {
        "model": "digits", "dataset": "digits (scikit-learn)", "baseline": "random", "notes": [],
    }  # fmt: skip
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        part, figure = row["figure"].split(".")
        initialisation, fraction = place_of(row["variant"])
        values = {
            run.experiment.seed: run.metrics[part][figure]
            for run in kept
            if f"{run.experiment.data.fraction:.0%}" == fraction
            and (run.experiment.start is None) == (initialisation == "random")
        }
        values = dict(sorted(values.items()))
        assert [float(value) for value in row["values"].split()] == list(values.values())
        assert float(row["mean"]) == pytest.approx(np.mean(list(values.values())))
        assert (row["difference"] == "") == (initialisation == "random")
    csv_before = (folder / "table.csv").read_bytes()

    again = call(*words)
    assert again.exit_code == 0
    assert "8 runs, 8 kept already, 0 to train" in again.stdout
    assert [path.parent.name for path in runs.glob("studies/*/study.json")] == [folder.name]
    assert (folder / "table.csv").read_bytes() == csv_before


def test_what_is_changed_is_said_on_the_page(tmp_path: Path) -> None:
    """Study mnist-convnet holds nothing out; a learning curve needs a validation set."""
    words = ["learning-curve", "--dataset", "digits", "--model", "mnist-convnet", "--fractions",
             "10%", "--seeds", "1", "--epochs", "1", "--set", "model.filters=2",
             "--set", "model.pool_after=1", "--set", "model.dense=4",
             "--runs", str(tmp_path)]  # fmt: skip
    result = call(*words)
    assert result.exit_code == 0, result.output
    (page,) = tmp_path.glob("studies/*/report.html")
    note = "Study mnist-convnet holds no validation set out; here 135 training images are held out."
    assert note in page.read_text(encoding="utf-8")
