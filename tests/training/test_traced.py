"""A training step that was traced for an earlier run gives the same results, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kerascw.data import Dataset
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.runs import run as runs
from kerascw.runs.run import run_experiment, train_until
from kerascw.runs.store import Run, Store
from kerascw.training.traced import AT_ONCE, Traced

Same = Callable[[Run, Run], None]

EXPERIMENTS: dict[str, dict[str, Any]] = {
    # state in the optimiser, in batch norm, in averages and in the seeds of dropout layers
    "convnet": {
        "model.batch_norm": True, "model.dropout": [{"after": "flatten", "rate": 0.3}],
        "training.weight_average": 0.9, "training.keep": "last",
        "training.schedule": {"kind": "one_cycle"}, "training.augmentation": [{"kind": "flip"}],
    },
    "heads": {"model.auxiliary": [1], "training.auxiliary_weights": [0.3]},
    "dense": {
        "model": {"kind": "mlp", "dense": [16]}, "training.optimizer": {"kind": "rmsprop"},
        "training.schedule": {"kind": "plateau", "patience": 1},
    },
}  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Traced:
    """What the runs of a test trace, of their own."""
    own = Traced()
    monkeypatch.setattr(runs, "traced", lambda: own)
    return own


@pytest.mark.parametrize("changes", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_a_second_run_is_as_if_it_were_the_first(
    changes: dict[str, Any], small: Experiment, sample: Dataset, counted: Traced,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same_run: Same,
) -> None:  # fmt: skip
    first = override(small, {"training.epochs": 2, "data.fraction": 0.05} | changes)
    # images of another number, but where the rate of a step depends on how many there are
    fraction = 0.05 if first.training.schedule.kind == "one_cycle" else 0.06
    second = override(first, {"seed": 1, "data.fraction": fraction})
    store = Store(tmp_path / "together")
    run_experiment(first, sample, store)
    train_until(1, second, sample, store)  # and goes on from its checkpoint
    together = run_experiment(second, sample, store)
    assert len(counted._held) == 1
    (ready,) = counted._held.values()
    assert ready.trainer._steps.experimental_get_tracing_count() == 1
    monkeypatch.setattr(runs, "traced", Traced)
    assert_same_run(together, run_experiment(second, sample, Store(tmp_path / "alone")))


def test_another_step_is_traced_anew_and_few_are_held(
    small: Experiment, sample: Dataset, counted: Traced, tmp_path: Path
) -> None:
    base = override(
        small,
        {"model": {"kind": "mlp", "dense": [4]}, "training.epochs": 1, "data.fraction": 0.02},
    )
    for rate in range(1, AT_ONCE + 2):
        run_experiment(
            override(base, {"training.optimizer.learning_rate": rate / 1000}),
            sample,
            Store(tmp_path),
        )
    assert len(counted._held) == AT_ONCE
