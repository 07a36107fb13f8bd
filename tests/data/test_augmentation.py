"""Augmentation: what each operation does, that it draws the same everywhere, and its names."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result
from PIL import Image, ImageEnhance, ImageOps
from pydantic import ValidationError
from scipy import ndimage

from kerascw.commands.main import main
from kerascw.data import Dataset, Part, split
from kerascw.data.augmentation import augment, brightened, contrasted, rotated, zoomed
from kerascw.data.pipeline import training_batches
from kerascw.errors import CallError
from kerascw.experiment.settings import (
    KINDS,
    LENET,
    augmentation_named,
    override,
)
from kerascw.experiment.spec import (
    Autocontrast,
    Autoencoder,
    Brightness,
    Contrast,
    CutMix,
    Erase,
    Experiment,
    Flip,
    Holdout,
    Mixup,
    Rotate,
    Shift,
    Solarize,
    TrainingSpec,
    Zoom,
)
from kerascw.lab import run as engine
from kerascw.studies import lenet_augmentation
from kerascw.training.fit import fit

RANDOM = np.random.default_rng(7)
COLOUR = RANDOM.integers(0, 256, (40, 9, 7, 3), dtype=np.uint8)
GREY = RANDOM.integers(20, 200, (300, 12, 12, 1), dtype=np.uint8)
SEED = (3, 4)
EVERY = tuple(spec() for spec in KINDS.values())


def pictures(images: np.ndarray, *specs: Any, seed: tuple[int, int] = SEED) -> np.ndarray:
    augmented = augment(tf.constant(images), None, specs, tf.constant(seed))[0].numpy()
    assert augmented.dtype == np.uint8
    assert augmented.shape == images.shape
    return augmented


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return of every picture whether it changed."""
    return (before != after).any(axis=(1, 2, 3))


# --- the same draws, everywhere and ever after ----------------------------------------------


@pytest.mark.parametrize(
    ("specs", "seed", "expected"),
    [
        ((Flip(probability=0.25), Shift(pixels=3)), (3, 4), "eea28482acf0f808"),
        ((Shift(), Flip()), (0, 0), "2da720b43e712178"),
    ],
)
def test_flip_and_shift_draw_as_when_kept_runs_were_trained(
    specs: tuple, seed: tuple[int, int], expected: str
) -> None:
    assert digest(pictures(COLOUR, *specs, seed=seed)) == expected


def test_the_pipeline_draws_as_when_kept_runs_were_trained(sample: Dataset) -> None:
    part = Part(sample.train.images[:200], sample.train.labels[:200])
    batches = training_batches(
        part, classes=10, batch_size=32, seed=5, epochs=range(2, 3),
        augmentation=(Flip(probability=0.25), Shift()),
    )  # fmt: skip
    images, labels = zip(*[(a.numpy(), b.numpy()) for a, b in batches], strict=True)
    assert digest(np.concatenate(images)) == "efa3f7ad8af5fc1e"
    assert digest(np.concatenate(labels)) == "d62e2605794365b4"


@pytest.mark.parametrize(
    "specs",
    [EVERY, (Erase(fill="black"), Zoom(low=0.5, high=2))],
    ids=["every kind", "other fields"],
)
def test_eager_graph_and_pipeline_agree_bit_for_bit(specs: tuple) -> None:
    labels = tf.one_hot(np.arange(40) % 10, 10)

    def drawn(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return augment(tf.constant(COLOUR), labels, specs, tf.stack([number, 7]))

    graph = tf.function(drawn)
    pipeline = tf.data.Dataset.from_tensor_slices(tf.range(3)).map(drawn, num_parallel_calls=2)
    first = []
    for number, of_pipeline in enumerate(pipeline):
        eager = drawn(tf.constant(number))
        first.append(eager[0].numpy())
        for one, other, third in zip(eager, graph(tf.constant(number)), of_pipeline, strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)
    assert (first[0] != first[1]).any()


# --- what each does -------------------------------------------------------------------------


def test_flip_mirrors_its_share_and_shift_moves_everywhere() -> None:
    flipped = pictures(GREY, Flip(probability=0.25))
    mirrored = (flipped == GREY[:, :, ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(mirrored, changed(GREY, flipped))
    assert 0.18 < mirrored.mean() < 0.32
    shifted = pictures(GREY, Shift(pixels=1))
    padded = np.pad(GREY, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, y : y + 12, x : x + 12] for y in range(3) for x in range(3)]
    hits = np.array([(shifted == window).all(axis=(1, 2, 3)) for window in windows])
    assert hits.any(axis=0).all()
    assert (hits.sum(axis=1) > 15).all()


def pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


@pytest.mark.parametrize("images", [COLOUR, GREY[:40]], ids=["colour", "grey"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(brightened, ImageEnhance.Brightness), (contrasted, ImageEnhance.Contrast)]
)
def test_jitter_is_pillows(images: np.ndarray, ours: Any, theirs: Any) -> None:
    factors = np.linspace(0.3, 1.7, len(images), dtype=np.float32)
    jittered = ours(tf.constant(images), factors[:, None, None, None]).numpy().astype(int)
    for own, image, factor in zip(jittered, images, factors, strict=True):
        enhanced = np.asarray(theirs(pillow(image)).enhance(float(factor)), int)
        # Pillow rounds the mean grey, and cuts off where this rounds
        assert np.abs(own - enhanced.reshape(own.shape)).max() <= 1


@pytest.mark.parametrize(
    ("spec", "between"), [(Brightness(amount=0.2), brightened), (Contrast(amount=0.2), contrasted)]
)
def test_jitter_draws_its_whole_range(spec: Any, between: Any) -> None:
    factors = np.linspace(0.8, 1.2, 81, dtype=np.float32)
    tried = [between(tf.constant(GREY), np.full((300, 1, 1, 1), f, np.float32)) for f in factors]
    gaps = np.abs(np.array(tried, int) - pictures(GREY, spec)).max(axis=(2, 3, 4))
    assert gaps.min(axis=0).max() <= 1  # each picture is one of these, to the factors' grain
    nearest = factors[gaps.argmin(axis=0)]
    assert nearest.min() < 0.82
    assert nearest.max() > 1.18
    assert abs(nearest.mean() - 1) < 0.02


@pytest.mark.parametrize("images", [COLOUR // 2 + 30, GREY], ids=["colour", "grey"])
def test_autocontrast_is_pillows(images: np.ndarray) -> None:
    stretched = pictures(images, Autocontrast(probability=1)).astype(int)
    for own, image in zip(stretched, images, strict=True):
        theirs = np.asarray(ImageOps.autocontrast(pillow(image)), int).reshape(own.shape)
        assert np.abs(own - theirs).max() <= 1
        assert own.min() == 0
        assert own.max() == 255
    flat = np.full((3, 5, 5, 1), 90, np.uint8)
    np.testing.assert_array_equal(pictures(flat, Autocontrast(probability=1)), flat)


@pytest.mark.parametrize("threshold", [0, 15, 128, 255])
def test_solarize_is_pillows(threshold: int) -> None:
    solarized = pictures(COLOUR, Solarize(probability=1, threshold=threshold))
    for own, image in zip(solarized, COLOUR, strict=True):
        np.testing.assert_array_equal(own, ImageOps.solarize(pillow(image), threshold))


@pytest.mark.parametrize(
    "spec",
    [Autocontrast(probability=0.2), Solarize(probability=0.2), Erase(probability=0.2)],
    ids=lambda spec: spec.kind,
)
def test_a_probability_is_of_each_picture(spec: Any) -> None:
    whole = pictures(GREY, spec.model_copy(update={"probability": 1.0}))
    some = pictures(GREY, spec)
    drawn = changed(GREY, some)
    np.testing.assert_array_equal(some[drawn], whole[drawn])
    assert 0.13 < drawn.mean() < 0.27
    assert not changed(GREY, pictures(GREY, spec.model_copy(update={"probability": 0.0}))).any()


def test_quarter_turns_are_numpys_and_others_scipys() -> None:
    square = RANDOM.integers(0, 256, (4, 11, 11, 3), dtype=np.uint8)
    turned = rotated(tf.constant(square), tf.constant([0.0, 90.0, 180.0, -90.0])).numpy()
    for number, quarters in enumerate((0, 1, 2, 3)):
        gap = turned[number].astype(int) - np.rot90(square[number], quarters)
        assert np.abs(gap).max() <= 1  # a cosine of 90 degrees is not quite 0
    angles = (-30.0, 12.5, 77.0, 141.0)
    turned = rotated(tf.constant(COLOUR[:4]), tf.constant(angles)).numpy()
    for own, image, angle in zip(turned, COLOUR[:4], angles, strict=True):
        theirs = ndimage.rotate(
            image.astype(float), angle, axes=(0, 1), reshape=False, order=1, mode="grid-constant"
        )
        assert np.abs(own - theirs).max() <= 0.51


def test_zoom_scales_about_the_middle_as_scipy_does() -> None:
    factors = (0.5, 0.9, 1.0, 2.5)
    scaled = zoomed(tf.constant(COLOUR[:4]), tf.constant(factors)).numpy()
    middle = np.array([4.0, 3.0, 1.0])
    for own, image, factor in zip(scaled, COLOUR[:4], factors, strict=True):
        matrix = np.array([1 / factor, 1 / factor, 1.0])
        theirs = ndimage.affine_transform(
            image.astype(float), matrix, middle - matrix * middle, order=1, mode="grid-constant"
        )
        assert np.abs(own - theirs).max() <= 0.51
    np.testing.assert_array_equal(scaled[2], COLOUR[2])


@pytest.mark.parametrize(
    ("spec", "turned_by", "low", "high"),
    [(Rotate(degrees=20), rotated, -20, 20), (Zoom(low=0.7, high=1.2), zoomed, 0.7, 1.2)],
    ids=["rotate", "zoom"],
)
def test_rotate_and_zoom_draw_their_whole_range(
    spec: Any, turned_by: Any, low: float, high: float
) -> None:
    images = GREY[:50]
    tried = np.linspace(low, high, 161, dtype=np.float32)
    each = [turned_by(tf.constant(images), tf.constant([value] * 50)) for value in tried]
    gaps = np.abs(np.array(each, int) - pictures(images, spec)).mean(axis=(2, 3, 4))
    assert gaps.min(axis=0).max() < 2  # of 180 grey values, between two values that were tried
    nearest = tried[gaps.argmin(axis=0)]
    assert nearest.min() < low + 0.05 * (high - low)
    assert nearest.max() > high - 0.05 * (high - low)


@pytest.mark.parametrize("fill", ["noise", "black"])
def test_erase_takes_a_box_within_its_limits(fill: Any) -> None:
    images = np.full((400, 24, 24, 1), 77, np.uint8)
    spec = Erase(probability=0.5, smallest=0.05, largest=0.3, aspect=0.5, fill=fill)
    erased = pictures(images, spec)
    drawn = changed(images, erased)
    assert 0.42 < drawn.mean() < 0.58
    shares = []
    for picture in erased[drawn][..., 0]:
        rows, columns = np.nonzero(picture != 77)
        box = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box == 77).mean() < 0.1  # noise may be 77 too
        if fill == "black":
            assert (box == 0).all()
        shares.append(box.size / picture.size)
        assert 0.42 < box.shape[0] / box.shape[1] < 2.4
    assert min(shares) < 0.08
    assert max(shares) > 0.27
    assert min(shares) > 0.03
    assert max(shares) < 0.33
    if fill == "noise":
        noise = erased[drawn][erased[drawn] != 77]
        assert abs(noise.mean() - 127.5) < 3


# --- mixtures -------------------------------------------------------------------------------


@dataclass
class Mixed:
    """A batch in which every picture is a class of its own, so labels tell what was mixed."""

    images: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, spec: Any, images: np.ndarray) -> "Mixed":
        labels = np.eye(len(images), dtype=np.float32)
        return cls(*(t.numpy() for t in augment(tf.constant(images), labels, (spec,), SEED)))

    def partner(self, at: int) -> tuple[int, float]:
        """Return the other picture and its share; itself and 0 where there is none."""
        others = self.labels[at].copy()
        others[at] = 0
        return (int(others.argmax()), float(others.max())) if others.any() else (at, 0.0)


def test_mixup_blends_pictures_as_it_blends_labels() -> None:
    mixed = Mixed.of(Mixup(alpha=1.0, probability=0.5), GREY)
    np.testing.assert_allclose(mixed.labels.sum(axis=1), 1, rtol=1e-6)
    assert ((mixed.labels > 0).sum(axis=1) <= 2).all()
    shares = []
    for at in range(len(GREY)):
        other, share = mixed.partner(at)
        blended = GREY[at] * (1 - share) + GREY[other] * share
        assert np.abs(mixed.images[at] - blended).max() <= 0.501
        if share:
            shares.append(share)
    assert 0.4 < len(shares) / len(GREY) < 0.6
    assert abs(np.mean(shares) - 0.5) < 0.08  # Beta(1, 1) is uniform
    assert abs(np.var(shares) - 1 / 12) < 0.02


def test_a_small_alpha_mixes_little_or_all() -> None:
    mixed = Mixed.of(Mixup(alpha=0.05), GREY)
    shares = np.array([mixed.partner(at)[1] for at in range(len(GREY))])
    assert np.isfinite(mixed.labels).all()
    assert ((shares < 0.05) | (shares > 0.95)).mean() > 0.7


def test_cutmix_pastes_a_box_and_its_share_of_the_label() -> None:
    images = np.empty((200, 12, 12, 1), np.uint8)
    images[:] = np.arange(200)[:, None, None, None]  # every pixel tells whose it is
    mixed = Mixed.of(CutMix(probability=1), images)
    shares = []
    for at, picture in enumerate(mixed.images[..., 0]):
        other, share = mixed.partner(at)
        shares.append(share)
        rows, columns = np.nonzero(picture != at)
        assert share * 144 == pytest.approx(len(rows), abs=1e-4)
        if len(rows):
            box = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert (box == other).all()
            assert box.size == len(rows)
    assert max(shares) > 0.6
    assert 0.2 < np.mean(shares) < 0.5  # half the picture, less what the edge cuts off
    some = Mixed.of(CutMix(probability=0.5), images)
    assert 0.3 < changed(images, some.images).mean() < 0.55


@pytest.mark.parametrize("spec", [Mixup(), CutMix()], ids=lambda spec: spec.kind)
def test_images_that_are_their_own_targets_are_mixed_alike(spec: Any, sample: Dataset) -> None:
    part = Part(sample.train.images[:100], sample.train.labels[:100])

    def batches(classes: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
        dataset = training_batches(
            part, classes=classes, batch_size=30, seed=1, epochs=range(0, 1), augmentation=(spec,)
        )
        return [(images.numpy(), targets.numpy()) for images, targets in dataset]

    for (images, labels), (same, targets) in zip(batches(10), batches(None), strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(targets, images.astype(np.float32) / 255)
        assert labels.shape == (len(images), 10)
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
        assert ((labels > 0).sum(axis=1) == 2).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"training.label_smoothing": 0.1},
        {"model.output": "sigmoid"},
        {"model": Autoencoder(filters=(4,)).model_dump(), "training.keep": "validation_loss"},
    ],
    ids=["smoothing", "sigmoid", "autoencoder"],
)
def test_training_takes_mixed_pictures(
    changes: dict[str, Any], small: Experiment, sample: Dataset, tmp_path: Path
) -> None:
    tree = {"training.augmentation": "mixup:1,cutmix", "training.epochs": 1} | changes
    experiment = override(small, tree)
    splits = split(sample, experiment.data)
    (row,) = fit(experiment, splits, tmp_path / "model.keras").history
    assert np.isfinite(list(row.values())).all()
    assert experiment.reconstructs or 0 < row["train_accuracy"] < 1


# --- specs, names and commands --------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "flip", "probability": 1.5}, "less than or equal to 1"),
        ({"kind": "brightness", "amount": 0}, "greater than 0"),
        ({"kind": "solarize", "threshold": 256}, "less than or equal to 255"),
        ({"kind": "rotate", "degrees": 181}, "less than or equal to 180"),
        ({"kind": "zoom", "low": 1.3}, "low 1.3 is above high 1.1"),
        ({"kind": "erase", "smallest": 0.5}, "smallest 0.5 is above largest 0.4"),
        ({"kind": "mixup", "alpha": 0}, "greater than or equal to 0.01"),
    ],
)
def test_ranges_are_checked(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingSpec.model_validate({"epochs": 1, "augmentation": [wrong]})


def test_a_batch_of_one_has_nothing_to_mix() -> None:
    said = "batch_size: 1 leaves augmentation cutmix nothing to mix with"
    with pytest.raises(ValidationError, match=said):
        TrainingSpec(epochs=1, batch_size=1, augmentation=(Flip(), CutMix()))


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("flip", (Flip(),)),
        ("flip:0.25, brightness:0.3", (Flip(probability=0.25), Brightness(amount=0.3))),
        ("solarize:0.4:20", (Solarize(probability=0.4, threshold=20),)),
        ("solarize:threshold=20", (Solarize(threshold=20),)),
        ("erase:0.1:fill=black", (Erase(probability=0.1, fill="black"),)),
        ("none", ()),
        ("lenet,shift", (*LENET, Shift())),
        ("all", EVERY),
    ],
)
def test_augmentation_is_written_in_short(text: str, specs: tuple, small: Experiment) -> None:
    assert augmentation_named(text) == specs
    assert override(small, {"training.augmentation": text}).training.augmentation == specs


def test_json_and_words_stay_what_they_were(small: Experiment) -> None:
    changed = override(small, {"training.augmentation": '[{"kind": "shift", "pixels": 1}]'})
    assert changed.training.augmentation == (Shift(pixels=1),)
    assert override(small, {"training.augmentation": "[]"}).training.augmentation == ()


WRONG = [
    ("blur", "augmentation 'blur': no such kind; choose flip, brightness, contrast, autocontrast, "
     "solarize, shift, rotate, zoom, erase, mixup, cutmix, none, lenet or all"),
    ("flip,", "augmentation '': no such kind"),
    ("flip:2", "augmentation flip: probability: Input should be less than or equal to 1 "
     "(received '2')"),
    ("flip:half", "augmentation flip: probability: Input should be a valid number"),
    ("flip:0.1:0.2", "augmentation flip: 2 values; it takes probability"),
    ("shift:far=3", "augmentation shift: no field 'far'; choose pixels"),
    ("solarize:0.1:probability=0.2", "augmentation solarize: probability is given twice"),
    ("zoom:2:1", "augmentation zoom: low 2.0 is above high 1.0"),
    ("zoom:0.1", "augmentation zoom: low: Input should be greater than or equal to 0.5"),
    ("erase:fill=red", "augmentation erase: fill: Input should be 'noise' or 'black'"),
    ("all:1", "augmentation 'all:1': all is a list and takes no value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_name_says_what_is_right(text: str, said: str) -> None:
    with pytest.raises(CallError) as error:
        augmentation_named(text)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    "words", [("data", "show", "digits"), ("run", "digits")], ids=["data show", "run"]
)
def test_commands_end_a_wrong_augmentation_with_one_line(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*words, "--augment", "shift:pixels=0")
    assert result.exit_code == 2
    assert result.stderr == (
        "kerascw: augmentation shift: pixels: Input should be greater than or equal to 1 "
        "(received '0')\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_run_plans_every_variant_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans = []

    def instead(plan: engine.Plan, *_: Any, **__: Any) -> None:
        plans.append(plan)
        raise CallError("planned")

    monkeypatch.setattr(engine, "run_study", instead)
    words = ("run", "digits", "--augment", "shift:1,mixup", "--runs", str(tmp_path / "runs"))
    assert call(*words).stderr == "kerascw: planned\n"
    experiments = [e for several in plans[0].experiments.values() for e in several]
    assert {e.training.augmentation for e in experiments} == {(Shift(pixels=1), Mixup())}
    assert plans[0].cautions == ["changed: training.augmentation=shift:1,mixup"]


def test_data_show_draws_what_training_sees(tmp_path: Path, sample: Dataset) -> None:
    grid = tmp_path / "new" / "grid.png"
    words = ("data", "show", "fashion_mnist", "--sample", "--output", str(grid))
    result = call(*words, "--augment", "flip:1")
    assert result.exit_code == 0, result.output
    augmented = grid.with_name("grid-augmented.png")
    assert f"augmented images: {augmented}" in " ".join(result.stdout.split("\n"))
    assert sorted(file.name for file in grid.parent.iterdir()) == ["grid-augmented.png", "grid.png"]
    drawn = np.asarray(Image.open(augmented).convert("L"))
    picture = sample.train.images[(sample.train.labels == 0).argmax(), ..., 0]
    tile = picture.repeat(3, 0).repeat(3, 1)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (84, 84))[:8]
    original, mirrored = (
        np.flatnonzero((windows == wanted).all(axis=(2, 3)).any(axis=0))
        for wanted in (tile, tile[:, ::-1])
    )
    assert len(original) == 1  # at the left, then nine mirrored ones, further away
    assert len(mirrored) == 9
    assert (np.diff([*original, *mirrored]) == 84 + 6).all()


# --- the study ------------------------------------------------------------------------------


def test_the_study_changes_nothing_but_the_augmentation() -> None:
    study = lenet_augmentation.LENET_AUGMENTATION
    for variants in (study.variants(), study.experiments("quick")):
        assert len(variants) == 13
        bases = {
            experiment.model_copy(
                update={"training": experiment.training.model_copy(update={"augmentation": ()})}
            )
            for experiment in variants.values()
        }
        assert bases == {variants["none"]}
        assert variants["the report's five"].training.augmentation == LENET
        alone = {e.training.augmentation[0].kind for e in variants.values()
                 if len(e.training.augmentation) == 1}  # fmt: skip
        assert alone == set(KINDS)
    assert study.experiments("quick")["none"].data.holdout == Holdout(how="random", count=2000)


def runs_of(scores: dict[str, list[float]], losses: dict[str, list[float]] | None = None) -> Any:
    def run(name: str, seed: int, accuracy: float) -> Any:
        test = {"accuracy": accuracy}
        if losses is not None:
            test["loss"] = losses[name][seed]
        return SimpleNamespace(
            metrics={"status": "finished", "test": test},
            experiment=SimpleNamespace(seed=seed, fold=None),
        )

    return {
        name: [run(name, seed, score) for seed, score in enumerate(several)]
        for name, several in scores.items()
    }


def test_the_answers_follow_from_the_paired_differences() -> None:
    five = "the report's five"
    accuracies = {
        "none": [0.80, 0.90, 0.85],
        "flip": [0.81, 0.9101, 0.8599],
        "solarize": [0.79, 0.8899, 0.8401],
        "shift": [0.84, 0.88, 0.85],
        five: [0.81, 0.9101, 0.8599],
    }
    losses = {name: several for name, several in accuracies.items() if name != five}
    losses[five] = [0.84, 0.88, 0.85]
    together, by_accuracy, by_loss = (
        answer.answer
        for answer in lenet_augmentation.augmentation_answers(runs_of(accuracies, losses))
    )
    assert together == (
        "test accuracy +0.0100 (+0.0098 to +0.0102); "
        "test loss +0.0067 (-0.0692 to +0.0826, not significant), against none, paired by seed."
    )
    assert by_accuracy == (
        "flip +0.0100 (+0.0098 to +0.0102); solarize -0.0100 (-0.0102 to -0.0098); "
        "shift +0.0067 (-0.0692 to +0.0826, not significant). Differences to none, paired by seed."
    )
    assert by_loss == by_accuracy


def test_one_seed_shows_nothing_and_no_runs_no_answer() -> None:
    one = lenet_augmentation.augmentation_answers(runs_of({"none": [0.8], "flip": [0.9]}))
    assert [answer.answer for answer in one] == [
        "flip +0.1000 (one seed). Differences to none, paired by seed."
    ]
    assert lenet_augmentation.augmentation_answers(runs_of({"none": []})) == []
