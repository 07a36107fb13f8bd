"""The embedding of the layer before the output: activations, t-SNE, measures, pictures, study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kerascw.commands.main import main
from kerascw.data import data_named, load_data
from kerascw.errors import CallError
from kerascw.evaluation.embedding import (
    Embedding,
    embed,
    largest,
    neighbour_shares,
    neighbours,
    pairs,
    penultimate,
)
from kerascw.experiment.spec import (
    Adam,
    Autoencoder,
    ConvNet,
    DataSpec,
    DenseNet,
    Dropout,
    Experiment,
    ModelSpec,
    TrainingSpec,
)
from kerascw.lab.pictures import EmbeddingMap
from kerascw.models import build_model
from kerascw.report.embedding import FILE, check_embedding
from kerascw.report.embedding_figures import LINE, SIDE, places_of_names, spread_images
from kerascw.runs.store import Run, Store, find_fault
from kerascw.studies.lenet import LENET_EMBEDDING, experiment


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 of scikit-learn's digits: float32 pixels ``[300, 64]`` and labels."""
    part = load_data("digits").test.take(np.arange(300))
    return np.asarray(part.images).reshape(300, -1).astype(np.float32), part.labels


@pytest.mark.parametrize(
    "spec",
    [
        ConvNet(filters=(4,), pool_after=(1,), dropout=(Dropout(after="dense", rate=0.5),),
                dense=(7, 5)),
        ConvNet(filters=(4,), batch_norm=True, head="average"),
        DenseNet(dense=(6,)),
        DenseNet(),
        ConvNet(filters=(4, 6), pool_after=(1, 2), auxiliary=(1, 2), dense=(7, 5),
                batch_norm=True, dense_batch_norm=True),
    ],
    ids=["convnet", "average", "mlp", "linear", "heads"],
)  # fmt: skip
def test_activations_give_the_probabilities(spec: ModelSpec) -> None:
    model = build_model(spec, (14, 14, 1), 3, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (7, 14, 14, 1), np.uint8)
    activations = penultimate(model, images)
    assert activations.dtype == np.float32
    kernel, bias = (weights.numpy() for weights in model.get_layer("probabilities").weights)
    logits = activations @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    outputs = model(images, training=False)
    given = outputs["probabilities"] if isinstance(outputs, dict) else outputs
    np.testing.assert_allclose(np.asarray(given), expected, atol=1e-6)


def test_activations_do_not_depend_on_the_batches() -> None:
    model = build_model(DenseNet(dense=(3,)), (2, 2, 1), 3, seed=0)
    images = np.random.default_rng(0).integers(0, 256, (501, 2, 2, 1), np.uint8)
    activations = penultimate(model, images)
    assert activations.shape == (501, 3)
    np.testing.assert_allclose(activations[-1:], penultimate(model, images[-1:]), atol=1e-6)


def test_the_embedding_is_the_same_twice(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = digits
    made, again = (
        embed(pixels, labels, 10, np.arange(300), {"perplexity": 20.0}) for _ in range(2)
    )
    assert (made.points.shape, made.points.dtype) == ((300, 2), np.float32)
    np.testing.assert_array_equal(made.points, again.points)
    assert np.diag(made.shares).mean() > 0.8  # digits are told apart by their pixels


@pytest.mark.parametrize(
    "activations",
    [np.arange(40)[:, None], np.zeros((40, 5)), np.repeat(np.eye(4), 10, axis=0)],
    ids=["one unit", "dead", "four places"],
)
def test_layers_that_say_little_are_embedded_too(activations: np.ndarray) -> None:
    labels = np.arange(40) % 4
    made = embed(activations.astype(np.float32), labels, 4, np.arange(40), {"perplexity": 5.0})
    assert np.isfinite(made.points).all()
    assert 0 <= made.trustworthiness <= 1
    np.testing.assert_allclose(made.shares.sum(axis=1), 1)


def test_neighbours_of_points_made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerascw.evaluation.embedding.NEIGHBOURS", 2)
    points = np.array([[0, 0], [1, 0], [2.5, 0], [10, 0], [11, 0], [13, 0]])
    near = neighbours(points)
    assert [set(row) for row in near] == [{1, 2}, {0, 2}, {0, 1}, {4, 5}, {3, 5}, {3, 4}]
    labels = np.array([0, 0, 1, 1, 1, 3])
    np.testing.assert_array_equal(
        neighbour_shares(near, labels, 4),
        [[1 / 2, 1 / 2, 0, 0], [1 / 3, 1 / 3, 0, 1 / 3], [np.nan] * 4, [0, 1, 0, 0]],
    )


def test_one_point_does_not_count_among_its_own_neighbours() -> None:
    points = np.repeat([[0.0, 0.0], [9.0, 9.0]], 11, axis=0)
    near = neighbours(points)
    assert near.shape == (22, 10)
    for at, row in enumerate(near):
        assert at not in row
        assert {int(k) // 11 for k in row} == {at // 11}


def test_trustworthiness_is_of_a_sample(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = digits
    settings = {"perplexity": 20.0}
    whole = embed(pixels, labels, 10, np.arange(300), settings)
    monkeypatch.setattr("kerascw.evaluation.embedding.SAMPLE", 150)
    sampled = embed(pixels, labels, 10, np.arange(300), settings)
    assert whole.trustworthiness > 0.9
    assert sampled.trustworthiness != whole.trustworthiness
    assert sampled.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.1)
    few = embed(pixels[:20], labels[:20], 10, np.arange(20), {"perplexity": 5.0})
    assert np.isnan(few.trustworthiness)


def test_pairs_of_classes() -> None:
    shares = np.array([[0.7, 0.3, 0, 0], [0.1, 0.8, 0.1, 0], [0, 0.4, 0.6, 0], [np.nan] * 4])
    confusion = np.array([[8, 2, 0, 0], [1, 3, 0, 0], [1, 0, 4, 0], [0, 0, 0, 0]])
    several = pairs(shares, confusion)
    assert several.classes.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert several.mistakes.tolist() == [3, 1, 0]
    assert several.nearness.tolist() == pytest.approx([0.2, 0, 0.25])
    assert several.confusion.tolist() == pytest.approx([(0.2 + 0.25) / 2, 0.1, 0])
    assert largest(several.nearness, 5) == [2, 0]
    assert largest(several.confusion, 5) == [0, 1]
    assert largest(several.confusion, 1) == [0]
    # ranks 2, 1, 3 and 3, 2, 1: 1 - 6 * (1 + 1 + 4) / (3 * 8)
    assert several.rank_correlation == pytest.approx(-0.5)
    assert pairs(shares[:2, :2], confusion[:2, :2]).rank_correlation is None
    assert pairs(shares, np.diag([8, 3, 4, 0])).rank_correlation is None  # none is confused


def test_images_and_names_do_not_cover_one_another(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    places = np.random.default_rng(0).uniform(0, (10, 7), (300, 2))
    chosen = spread_images(places)
    assert 20 <= len(chosen) <= 35
    for number, at in enumerate(chosen):
        for other in chosen[:number]:
            assert np.abs(places[at] - places[other]).max() >= SIDE
    assert spread_images(np.array([[0.75, 0.75]])) == [0]
    names = places_of_names(places, digits[1])
    assert set(names) == set(range(10))
    assert len({(x // LINE[0], y // LINE[1]) for x, y in names.values()}) == 10


def test_what_is_kept_is_read_back_and_damage_is_noticed(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pixels, labels = digits
    settings: dict[str, Any] = {"perplexity": 9.0, "points": 100}
    made = embed(pixels[:100], labels[:100], 10, np.arange(100), settings)
    path = tmp_path / FILE
    assert Embedding.load(path) is None
    made.save(path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    read = Embedding.load(path)
    assert read is not None
    for name, value in vars(made).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    whole = path.read_bytes()
    for damaged in (whole[:-100], b"", b"no archive", whole[:40] + b"x" * 400 + whole[440:]):
        path.write_bytes(damaged)
        assert Embedding.load(path) is None


# --- the study ------------------------------------------------------------------------------

WORDS = ("--sample", "--epochs", "1", "--fraction", "0.05", "--seeds", "1",
         "--set", "model.filters=2,4")  # fmt: skip


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the study was run once, on 150 points."""
    runs = tmp_path_factory.mktemp("runs")
    result = call("run", "lenet-embedding", *WORDS, "--set", "pictures.points=150",
                  "--set", "pictures.perplexity=12", "--runs", runs)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Are the classes that lie nearest also those confused most?" in result.output
    return runs


def the_run(runs: Path) -> Run:
    (run,) = Store(runs).all()
    return run


def the_page(runs: Path) -> str:
    (page,) = runs.glob("studies/lenet-embedding-quick-sample-*/report.html")
    return page.read_text()


def test_the_study_is_variant_4_of_lenet() -> None:
    assert LENET_EMBEDDING.variants() == {"variant_4": experiment("variant_4")}


def test_the_study_gives_figures_and_answers(ran: Path) -> None:
    run = the_run(ran)
    kept = Embedding.load(run.folder / FILE)
    assert kept is not None
    assert (kept.settings["points"], kept.settings["perplexity"]) == (150, 12)
    assert (kept.points.shape, kept.units) == ((150, 2), 140)
    with np.load(run.folder / "predictions.npz") as file:
        labels, guesses = file["test_labels"], file["test_probabilities"].argmax(axis=1)
    np.testing.assert_array_equal(np.bincount(labels[kept.positions]), [15] * 10)
    wrong = int((labels != guesses)[kept.positions].sum())
    page = the_page(ran)
    assert f"{wrong:,} misclassified ones ringed" in page
    assert "t-SNE of 150 test images, 140 activations" in page
    rho = pairs(kept.shares, np.array(run.metrics["test"]["confusion"])).rank_correlation
    assert f"over the 45 pairs of classes: {rho:.4f} in the plane" in page
    figures = next(ran.glob("studies/*/figures"))
    drawn = {path.stem for path in figures.iterdir()}
    assert "embedding" in drawn
    assert find_fault(run.folder) is None
    assert Store(ran).get(run.name) is not None


def test_the_report_is_drawn_again_from_what_is_kept(
    ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = the_run(ran).folder / FILE
    before, kept = path.stat().st_mtime_ns, Embedding.load(path)
    assert kept is not None
    report: Callable[..., Result] = lambda *words: call(  # noqa: E731
        "report", "lenet-embedding", "--runs", ran, *words
    )
    as_before = ("--set", "pictures.points=150", "--set", "pictures.perplexity=12")
    assert report(*as_before).exit_code == 0
    assert path.stat().st_mtime_ns == before

    path.write_bytes(path.read_bytes()[:500])
    assert report(*as_before).exit_code == 0
    again = Embedding.load(path)
    assert again is not None
    np.testing.assert_array_equal(again.points, kept.points)

    assert report("--set", "pictures.points=120", "--set", "pictures.perplexity=8.5").exit_code == 0
    other = Embedding.load(path)
    assert other is not None
    assert (other.settings["points"], other.settings["perplexity"]) == (120, 8.5)
    assert "t-SNE of 120 test images" in the_page(ran)
    assert "perplexity 8.5" in the_page(ran)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("points=29",), "pictures.points: 29; choose from 30 to 1000"),
        (("points=1001",), "pictures.points: 1001; choose from 30 to 1000"),
        (("points=100", "perplexity=34"),
         "pictures.perplexity: 34; choose from 1 to 33, a third of the 100 points"),
        (("perplexity=0.5",),
         "pictures.perplexity: 0.5; choose from 1 to 333, a third of the 1,000 points"),
        (("perplexity=nan",), "pictures.perplexity: Input should be a finite number (received "
         "'nan')"),
        (("layer=1",), "pictures.layer: no such field 'layer'; there the fields are perplexity or "
         "points"),
    ],
)  # fmt: skip
def test_wrong_options_end_it_before_training(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    options = [option for word in words for option in ("--set", f"pictures.{word}")]
    result = call("run", "lenet-embedding", *WORDS, "--runs", tmp_path, *options)
    assert result.exit_code == 2
    assert result.stderr == f"kerascw: {said}\n"
    assert not list(tmp_path.iterdir())


def test_an_autoencoder_and_few_pictures_are_refused(tmp_path: Path) -> None:
    base = experiment("variant_4")
    autoencoder = Experiment(
        data=DataSpec(name="fashion_mnist", sample=True),
        model=Autoencoder(filters=(4,)),
        training=TrainingSpec(epochs=1, batch_size=32, optimizer=Adam(), keep="last"),
    )
    with pytest.raises(CallError, match="autoencoder tells no classes apart; study"):
        check_embedding(EmbeddingMap(), LENET_EMBEDDING, autoencoder)
    for label in ("dark", "light"):
        for part, count in (("train", 20), ("test", 14)):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                shade = np.full((28, 28), number + 200 * (label == "light"), np.uint8)
                Image.fromarray(shade).save(folder / f"{number}.png")
    few = base.model_copy(update={"data": data_named(f"folder:{tmp_path}")})
    with pytest.raises(CallError, match="has 28 test images; an embedding needs 30"):
        check_embedding(EmbeddingMap(), LENET_EMBEDDING, few)


def test_other_studies_draw_no_embedding(tmp_path: Path) -> None:
    result = call("run", "fashion", "--sample", "--set", "pictures.points=50", "--runs", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == "kerascw: pictures.points: study fashion has no pictures to set\n"


def test_perplexity_looks_at_three_times_as_many_points() -> None:
    pixels = np.random.default_rng(0).normal(size=(31, 4)).astype(np.float32)
    settings = {"perplexity": (31 - 1) / 3}
    assert np.isfinite(embed(pixels, np.zeros(31, int), 1, np.arange(31), settings).points).all()
