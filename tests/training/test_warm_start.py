"""Experiments that begin with another's weights: what is carried over, kept and refused."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from kerascw.commands.main import main
from kerascw.data import Dataset, split
from kerascw.data.splits import nested_subset, subset_of
from kerascw.errors import CallError, Interrupted, KerascwError
from kerascw.experiment.settings import override, read_experiment
from kerascw.experiment.spec import (
    Adam,
    ConvNet,
    DataSpec,
    DenseNet,
    Experiment,
    Holdout,
    TrainingSpec,
    WarmStart,
)
from kerascw.lab.curves import place_of
from kerascw.lab.derive import with_seed
from kerascw.lab.plan import planned
from kerascw.models import build_model
from kerascw.runs.many import prepare, run_many
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.runs.verify import verify
from kerascw.studies import bag_learning, study_named
from kerascw.training.warm_start import warm_start
from kerascw.training.watcher import Watcher

SOURCE = Experiment(
    data=DataSpec(
        name="fashion_mnist",
        sample=True,
        classes=(2, 3, 6),
        holdout=Holdout(how="last", count=1000),
        fraction=0.2,
    ),
    model=ConvNet(filters=(4, 6), pool_after=(1, 2), dense=(12,)),
    training=TrainingSpec(epochs=2, optimizer=Adam(learning_rate=0.003), keep="last"),
)


def started(
    layers: tuple[str, ...] = ("conv_1", "conv_2", "dense_1"), **more: object
) -> Experiment:
    """Another task, four classes, from the source's weights."""
    return Experiment(
        data=SOURCE.data.model_copy(update={"classes": (0, 1, 4, 5)}),
        model=SOURCE.model,
        training=SOURCE.training,
        start=WarmStart.model_validate({"source": SOURCE, "layers": layers, **more}),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def source(store: Store) -> Run:
    (run,) = run_many([SOURCE], store)
    return run


def layer_weights(run: Run, name: str) -> list[np.ndarray]:
    return run.model().get_layer(name).get_weights()


def test_layers_equal_their_source_bit_for_bit_and_the_others_are_fresh(source: Run) -> None:
    experiment = started(("conv_1", "dense_1"))
    assert experiment.start is not None
    fresh = build_model(experiment.model, classes=4, seed=0)
    model = build_model(experiment.model, classes=4, seed=0)
    theirs = source.model()
    warm_start(model, theirs, experiment.start)
    for name in ("conv_1", "dense_1"):
        for mine, other in zip(
            model.get_layer(name).get_weights(), theirs.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, other)
    for name in ("conv_2", "probabilities"):
        kernel = model.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(kernel, fresh.get_layer(name).get_weights()[0])
        theirs_kernel = theirs.get_layer(name).get_weights()[0]
        assert kernel.shape != theirs_kernel.shape or (kernel != theirs_kernel).any()
    assert all(layer.trainable for layer in model.layers)


def test_kernels_alone_leave_the_biases_as_they_were_drawn(source: Run) -> None:
    experiment = started(("conv_1", "dense_1"), takes="kernels")
    assert experiment.start is not None
    model = SOURCE.model.model_copy(update={"initializer": "torch"})
    fresh = build_model(model, classes=4, seed=3)
    built = build_model(model, classes=4, seed=3)
    theirs = source.model()
    warm_start(built, theirs, experiment.start)
    for name in ("conv_1", "dense_1"):
        kernel, bias = built.get_layer(name).get_weights()
        np.testing.assert_array_equal(kernel, theirs.get_layer(name).get_weights()[0])
        np.testing.assert_array_equal(bias, fresh.get_layer(name).get_weights()[1])
        assert (bias != theirs.get_layer(name).get_weights()[1]).any()
    whole = started(("conv_1", "dense_1"))
    assert "takes" not in whole.canonical_json()
    assert whole.key("data") != experiment.key("data")


def test_random_biases_are_not_frozen() -> None:
    with pytest.raises(ValidationError, match="would keep random biases with takes kernels"):
        started(takes="kernels", frozen=True)


def test_a_layer_without_a_kernel_is_refused(tmp_path: Path) -> None:
    """Before anything is trained: a batch norm has weights, but no kernel."""
    experiment = started(("conv_1", "conv_1_norm"), takes="kernels")
    assert experiment.start is not None
    normed = {"model": SOURCE.model.model_copy(update={"batch_norm": True})}
    start = experiment.start.model_copy(update={"source": SOURCE.model_copy(update=normed)})
    with pytest.raises(
        CallError, match=r"^start\.layers: conv_1_norm has no kernel, but start\.ta"
    ):
        run_many([experiment.model_copy(update=normed | {"start": start})], Store(tmp_path))


def test_frozen_layers_do_not_move_and_the_others_do(source: Run, store: Store) -> None:
    frozen, free = run_many([started(frozen=True), started()], store)
    for name in ("conv_1", "conv_2", "dense_1"):
        for kept, theirs, moved in zip(
            layer_weights(frozen, name),
            layer_weights(source, name),
            layer_weights(free, name),
            strict=True,
        ):
            np.testing.assert_array_equal(kept, theirs)
            assert (moved != theirs).any()
    assert frozen.source == free.source == source.name
    losses = [row["train_loss"] for row in frozen.history]
    assert losses[1] < losses[0]  # the output layer learns


def test_the_source_is_trained_once_and_for_whom_it_is_asked(tmp_path: Path) -> None:
    class Notes(Watcher):
        def __init__(self) -> None:
            self.plans: list[tuple[int, int]] = []
            self.names: list[str] = []

        def planned(self, runs: int, kept: int, jobs: int) -> None:
            self.plans.append((runs, kept))

        def finished(self, run: Run) -> None:
            self.names.append(run.name)

    def dense(**more: object) -> Experiment:
        """Dense networks: what they are does not matter here."""
        model = {"model": DenseNet(dense=(12,))}
        experiment = started(("dense_1",), **more)
        assert experiment.start is not None
        start = experiment.start.model_copy(update={"source": SOURCE.model_copy(update=model)})
        return experiment.model_copy(update=model | {"start": start})

    store, notes = Store(tmp_path), Notes()
    experiments = [dense(), dense(frozen=True), with_seed(dense(), 1)]
    runs = run_many(experiments, store, jobs=2, watcher=notes)
    assert notes.plans == [(2, 0), (3, 0)]
    assert len(notes.names) == len(set(notes.names)) == 5
    assert len({run.source for run in runs}) == 2
    assert [run.name for run in runs] == [prepare(e, store, None).name for e in experiments]
    again = Notes()
    assert run_many(experiments, store, watcher=again) == runs
    assert again.names == []


def test_the_key_covers_the_start() -> None:
    base = started()
    assert base.start is not None
    other_source = override(SOURCE, {"training.epochs": 3})
    others = [
        base.model_copy(update={"start": None}),
        started(("conv_1",)),
        started(frozen=True),
        base.model_copy(update={"start": base.start.model_copy(update={"source": other_source})}),
        with_seed(base, 1),
    ]
    assert len({experiment.key("data") for experiment in [base, *others]}) == 6
    assert Experiment.model_validate_json(base.canonical_json()) == base


def test_interrupted_it_goes_on_to_the_same_end(
    sample: Dataset, store: Store, source: Run, tmp_path: Path, stop_after: Any,
    assert_same_run: Any,
) -> None:  # fmt: skip
    stopped = Store(tmp_path)
    with pytest.raises(Interrupted):
        run_experiment(started(frozen=True), sample, stopped, stop_after(1), source=source)
    resumed = run_experiment(started(frozen=True), sample, stopped, source=source)
    (whole,) = run_many([started(frozen=True)], store)
    assert_same_run(resumed, whole)


@pytest.mark.parametrize(
    ("layers", "model", "said"),
    [
        (("conv_9",), {}, "start.layers: no layer 'conv_9' in this model; choose conv_1, conv_2"),
        (("conv_2",), {"filters": (4,), "pool_after": (1,)},
         "start.layers: no layer 'conv_2' in this model"),
        (("dense_2",), {"dense": (12, 5)},
         "start.layers: no layer 'dense_2' in the source's model; choose"),
        (("pool_1",), {}, "start.layers: pool_1 has no weights; choose conv_1"),
        (("conv_1",), {"kernels": (5,)},
         "start.layers: conv_1 has weights of 5x5x1x4 and 4 in this model and of 3x3x1x4 and 4"),
        (("probabilities",), {}, "of 12x4 and 4 in this model and of 12x3 and 3 in the source's"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_over_is_one_line_before_anything_is_trained(
    layers: tuple[str, ...], model: dict[str, object], said: str, tmp_path: Path
) -> None:
    experiment = started(layers)
    changed = experiment.model_copy(update={"model": experiment.model.model_copy(update=model)})
    with pytest.raises(CallError) as raised:
        run_many([changed], Store(tmp_path))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*-*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "no JSON ("),
        ("[]", "no experiment; expected its fields data, model, training, seed"),
        ('{"data": {}}', "data.name: Field required"),
    ],
)
def test_a_bad_experiment_file_is_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CallError) as raised:
        read_experiment(path)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


def test_a_source_that_is_gone_is_said(sample: Dataset, source: Run, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = run_experiment(started(), sample, store, source=source)
    with pytest.raises(
        KerascwError, match=f"run {source.name}, which a warm start begins with, is not in"
    ):
        verify(run, sample, store)
    again = run_experiment(SOURCE, sample, store)
    assert again.name == source.name
    assert verify(run, sample, store).outcome == "identical"


# --- the studies' plans ---------------------------------------------------------------------


def test_subsets_are_nested_and_the_same_for_every_initialisation(sample: Dataset) -> None:
    plan = planned(study_named("bag-pretraining"), budget="full", seeds=1, sample=True)
    parts: dict[float, list[np.ndarray]] = {}
    for name, (experiment,) in plan.experiments.items():
        if ", " in name:
            part = split(sample, experiment.data).train
            parts.setdefault(experiment.data.fraction, []).append(part.images[:])
    assert sorted(parts) == list(bag_learning.FRACTIONS)
    whole = parts[1.0][0]
    for fraction, (random, warm) in sorted(parts.items()):
        np.testing.assert_array_equal(random, warm)
        # the report's subsets are the first images
        np.testing.assert_array_equal(random, whole[: round(fraction * len(whole))])


def test_nested_subsets_keep_every_class_s_share() -> None:
    labels = np.repeat(np.arange(5), (100, 200, 300, 400, 500))
    for fraction in bag_learning.FRACTIONS:
        chosen = nested_subset(labels, fraction, seed=0)
        counts = np.bincount(labels[chosen])
        np.testing.assert_allclose(counts / np.bincount(labels), fraction, atol=0.01)


def test_every_seed_has_its_own_source() -> None:
    plan = planned(study_named("bag-pretraining"), budget="quick", seeds=2)
    for experiments in plan.experiments.values():
        for seed, experiment in enumerate(experiments):
            assert experiment.seed == seed
            if experiment.start is not None:
                assert experiment.start.source.seed == seed


def test_the_first_images_or_a_stratified_draw() -> None:
    labels = np.repeat(np.arange(2), 50)
    first = DataSpec(name="digits", fraction=0.3, subset="first")
    np.testing.assert_array_equal(subset_of(labels, first), np.arange(30))
    drawn = subset_of(labels, DataSpec(name="digits", fraction=0.3))
    assert np.bincount(labels[drawn]).tolist() == [15, 15]
    assert "subset" not in DataSpec(name="digits").model_dump_json(exclude_defaults=True)


def test_labels_can_stay_the_datasets_own(sample: Dataset) -> None:
    own = DataSpec(name="fashion_mnist", classes=(8, 1), relabel=False)
    kept, numbered = split(sample, own), split(sample, own.model_copy(update={"relabel": True}))
    assert set(kept.test.labels.tolist()) == {1, 8}
    assert kept.class_names == sample.entry.class_names
    assert numbered.class_names == (kept.class_names[8], kept.class_names[1])
    np.testing.assert_array_equal(np.array([8, 1])[numbered.test.labels], kept.test.labels)
    np.testing.assert_array_equal(kept.test.images, numbered.test.images)


def test_a_model_has_an_output_for_every_class_where_labels_stay(
    sample: Dataset, store: Store, source: Run
) -> None:
    """Ten outputs, taking kernels of a model with three."""
    data = SOURCE.data.model_copy(update={"classes": (0, 8), "relabel": False, "subset": "first"})
    experiment = started(takes="kernels").model_copy(update={"data": data})
    (run,) = run_many([experiment], store)
    assert run.source == source.name
    rows = run.metrics["test"]["per_class"]
    assert (len(rows), run.model().output_shape) == (10, (None, 10))
    assert [row["class"] for row in rows if row["examples"]] == [
        sample.entry.class_names[label] for label in (0, 8)
    ]


# --- the printed settings of parts 4 and 5 --------------------------------------------------


def test_part_4_is_as_printed() -> None:
    autoencoder, *others = bag_learning.pretraining().values()
    assert (autoencoder.data.scaling, autoencoder.training.epochs) == ("unit", 20)
    for experiment in others:
        data, training = experiment.data, experiment.training
        assert (data.scaling, data.subset, data.relabel) == ("raw", "first", False)
        assert (training.epochs, training.keep) == (20, "validation_loss")
        if experiment.start is not None:
            assert experiment.start.takes == "kernels"
            assert experiment.start.source == autoencoder
    published = bag_learning.PRETRAINING.published()
    random, warm = published["random, 100%"], published["autoencoder, 90%"]
    assert list(random) == [
        "lowest_validation_loss.train_accuracy",
        "lowest_validation_loss.validation_accuracy",
        "test.accuracy",
    ]
    assert not any(figure.not_comparable for figure in random.values())
    assert all("go on learning" in figure.not_comparable for figure in warm.values())


class _Graded:
    """A run of a cell of the grid, by its validation loss."""

    def __init__(self, cell: Experiment, loss: float, accuracy: float) -> None:
        self.experiment = cell
        self.metrics = {"status": "finished", "validation": {"loss": loss, "accuracy": accuracy}}


def test_part_5_is_as_printed() -> None:
    grid = bag_learning.transfer_grid()
    assert {e.training.epochs for e in grid.values()} == {30}
    chosen = "Fashion-MNIST-2: sgd 0.001 dropout 0.3"
    runs: Any = {
        name: [_Graded(e, *((0.2, 0.90) if name == chosen else (0.3, 0.95)))]
        for name, e in grid.items()
    }
    assert bag_learning.best_of_grid(runs) == chosen  # by loss, not by accuracy
    sweep = bag_learning.transfer_sweep(runs)
    assert len(sweep) == 3 * 20
    for name, experiment in sweep.items():
        data, training, start = experiment.data, experiment.training, experiment.start
        assert (data.classes, data.scaling, data.subset) == ((0, 1, 4, 5, 8), "raw", "first")
        assert (training.epochs, training.keep) == (20, "last")
        if start is not None:
            assert (start.source, start.source.data.scaling) == (grid[chosen], "raw")
            assert start.takes == ("everything" if name.startswith("frozen") else "kernels")
    test = bag_learning.TRANSFER.published()["random, 100%"]["test.accuracy"]
    assert test.reported == 0.9836
    assert "the program's output beside these has 0.9959, 0.9825 and 0.9818" in test.not_comparable
    assert "it is scored with dropout on" in test.not_comparable


def test_the_transfer_classifier_flattens_to_2000() -> None:
    cell = bag_learning.transfer_grid()["Fashion-MNIST-2: sgd 0.001 dropout 0.3"]
    model = build_model(cell.model, classes=5)
    assert model.get_layer("flatten").output.shape == (None, 2000)
    encoder = bag_learning.pretraining()["random, 5%"]
    assert build_model(encoder.model).get_layer("flatten").output.shape == (None, 320)


def test_a_study_from_the_command_line_with_warm_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """bag-transfer on the sample: the grid, then the three initialisations; twice trains once."""
    cells = bag_learning.TRANSFER.experiments("quick")

    def two_cells() -> dict[str, Experiment]:
        return dict([*cells.items()][:2])

    study = replace(bag_learning.TRANSFER, quick_variants=two_cells)
    monkeypatch.setattr(bag_learning, "TRANSFER", study)
    monkeypatch.setattr(bag_learning, "QUICK_FRACTIONS", (0.2,))
    words = ["run", "bag-transfer", "--sample", "--epochs", "1", "--seeds", "2", "--jobs", "2",
             "--runs", str(tmp_path)]  # fmt: skip
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert len(Store(tmp_path).all()) == 4 + 3 * 2
    assert "Which cell of the grid has the lowest validation loss" in result.output
    assert "Does the report's reading hold, that transferred weights are better" in result.output
    assert "Departs from the study's own protocol: on the bundled sample" in result.output
    (page,) = tmp_path.glob("studies/*/report.html")
    assert "a global loader is used again" in page.read_text(encoding="utf-8")
    table = (page.parent / "table.csv").read_text()
    rows = [row for row in csv.DictReader(table.splitlines()) if row["difference"]]
    assert {place_of(row["variant"])[0] for row in rows} == {"transferred", "frozen"}
    again = CliRunner().invoke(main, words)
    assert "0 to train" in again.output
