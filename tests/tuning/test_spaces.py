"""The named search spaces: every draw is a valid experiment, and the published rows are theirs."""

import itertools
from typing import Any

import keras_tuner
import pytest

from kerascw.experiment.settings import override
from kerascw.experiment.spec import SGD, Adam, Experiment
from kerascw.studies import bag, bag_learning, fashion, image_techniques
from tuning.space import Space, load_space, named_spaces

NAMES = named_spaces()


def grid(space: Space) -> list[tuple[dict[str, Any], Experiment]]:
    """Return every combination of a space of choices, with its experiment."""
    base = space.base()
    hp = keras_tuner.HyperParameters()
    space.experiment(hp, base)
    names = [hyperparameter.name for hyperparameter in hp.space]
    found = []
    for values in itertools.product(*(hyperparameter.values for hyperparameter in hp.space)):
        hp.values = dict(zip(names, values, strict=True))
        found.append((hp.values, space.experiment(hp, base)))
    return found


def drawn(space: Space, seed: int, base: Experiment) -> tuple[dict[str, Any], Experiment]:
    """Return a random draw as KerasTuner makes it: only active hyperparameters have values."""
    known = keras_tuner.HyperParameters()
    space.experiment(known, base)
    hp = keras_tuner.HyperParameters()
    for at, hyperparameter in enumerate(known.space):
        hp.merge([hyperparameter])
        if hp.is_active(hyperparameter):
            hp.values[hyperparameter.name] = hyperparameter.random_sample(1000 * seed + at)
    return dict(hp.values), space.experiment(hp, base)


@pytest.mark.parametrize("name", NAMES)
def test_every_draw_is_a_valid_experiment_on_the_data_of_the_base(name: str) -> None:
    space = load_space(name)
    assert space.question
    base = override(space.base(), {"data.fraction": 0.25, "seed": 7})
    seen = {(made := drawn(space, seed, base)[1]).canonical_json(): made for seed in range(40)}
    seen["default"] = space.experiment(keras_tuner.HyperParameters(), base)
    assert len(seen) > 10
    for experiment in seen.values():
        again = Experiment.model_validate(experiment.model_dump(mode="json"))
        assert again == experiment
        assert experiment.data == base.data
        assert experiment.seed == 7
        assert experiment.training.batch_size == base.training.batch_size or name == "fashion"


def test_the_grid_is_exactly_the_21_published_rows() -> None:
    cells = grid(load_space("bag-variants-grid"))
    assert [(values["row"], experiment) for values, experiment in cells] == list(
        bag.variants().items()
    )
    assert len(cells) == 21
    assert len({experiment.canonical_json() for _, experiment in cells}) == 20  # rows 5 and 8


def test_the_published_rows_lie_in_the_bayesian_space() -> None:
    space, rows = load_space("bag-variants"), bag.variants()
    for name, row in rows.items():
        optimizer = row.training.optimizer
        hp = keras_tuner.HyperParameters()
        space.experiment(hp, space.base())
        values = {
            "optimizer": optimizer.kind,
            "learning_rate": optimizer.learning_rate,
            "layers": len(row.model.filters),  # type: ignore[union-attr]
            "dropout": row.model.dropout[0].rate if row.model.dropout else 0.0,  # type: ignore[union-attr]
            "l2": row.training.l2,
            "epochs": row.training.epochs,
        }
        if not isinstance(optimizer, Adam):
            values["momentum"] = optimizer.momentum  # type: ignore[union-attr]
        for hyperparameter in hp.space:
            if hyperparameter.name in values:
                value = values[hyperparameter.name]
                if isinstance(hyperparameter, keras_tuner.engine.hyperparameters.Float):
                    assert hyperparameter.min_value <= value <= hyperparameter.max_value, name
                else:
                    assert value in hyperparameter.values, name
        hp.values = values
        assert space.experiment(hp, space.base()) == row, name


def test_bag_transfer_is_the_published_grid_of_twelve_cells() -> None:
    cells = grid(load_space("bag-transfer"))
    assert len(cells) == 12
    named = {
        f"Fashion-MNIST-2: {v['optimizer']} {v['learning_rate']:g} dropout {v['dropout']:g}": e
        for v, e in cells
    }
    assert named == bag_learning.transfer_grid()
    quick = bag_learning.TRANSFER.experiments("quick")
    budget = load_space("bag-transfer").budgets["quick"]
    assert {e.training.epochs for e in quick.values()} == {budget.epochs}
    assert {e.data.fraction for e in quick.values()} == {budget.fraction}


def test_cifar_schedule_has_the_published_ranges_and_its_best() -> None:
    space = load_space("cifar-schedule")
    hp = keras_tuner.HyperParameters()
    space.experiment(hp, space.base())
    rate, step, gamma = hp.space
    assert (rate.name, rate.min_value, rate.max_value, rate.sampling) == (
        "learning_rate", 0.01, 0.1, "log",
    )  # fmt: skip
    assert (step.name, step.min_value, step.max_value) == ("step", 1, 9)
    assert (gamma.name, gamma.min_value, gamma.max_value) == ("gamma", 0.01, 0.99)
    assert (space.budgets["full"].trials, space.base().training.epochs) == (50, 10)
    tuned = image_techniques.cnn()["tuned"]
    assert isinstance(tuned.training.optimizer, SGD)
    hp.values = {
        "learning_rate": tuned.training.optimizer.learning_rate,
        "step": tuned.training.schedule.every,  # type: ignore[union-attr]
        "gamma": tuned.training.schedule.factor,  # type: ignore[union-attr]
    }
    assert space.experiment(hp, space.base()) == tuned


def test_the_default_of_the_flagships_space_is_the_flagship() -> None:
    space = load_space("fashion")
    made = space.experiment(keras_tuner.HyperParameters(), space.base())
    assert made == fashion.recipe()
