"""Plan a search: a space with its options, before anything is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascw.data.load import dataset_for
from kerascw.errors import CallError
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Autoencoder, DataSpec, Experiment
from kerascw.lab.derive import of_sample, on_other_data, with_data, with_training
from kerascw.lab.plan import digest_of
from kerascw.lab.study import Budget
from kerascw.runs.environment import command_line
from kerascw.runs.run import file_name
from tuning.records import SearchSpec
from tuning.space import Oracle, Space, SpaceError, load_space

BATCH = {"random": 16, "grid": 16, "hyperband": 16, "bayesian": 1}
"""Trials in a batch if nothing else is asked for. Only a Bayesian search and Hyperband learn from
results; Hyperband gives what its rungs allow, so that a larger batch costs it little."""


@dataclass(frozen=True)
class Plan:
    """A search before anything is run.

    Of ``spec`` the hyperparameters are found when it begins. ``label`` ends with digits of all that
    decides its trials, so that another search has another folder; runs that both want are trained
    once all the same.
    """

    space: Space
    base: Experiment  # what the space derives from
    spec: SearchSpec
    label: str  # its folder's name
    export_name: str  # of the winner's model: what it departs from is in it

    def experiment(self, hp: Any) -> Experiment:
        """Return the experiment of these hyperparameters at the budget.

        Raises SpaceError: the space gives none, or one that lacks the objective.
        """
        made = self._cut(self.space.experiment(hp, self.base))
        if self.spec.oracle != "hyperband":
            return made
        return with_training(made, epochs=self.most_epochs())

    def most_epochs(self) -> int:
        """Return the epochs of the experiment of the default values."""
        import keras_tuner

        default = self.space.experiment(keras_tuner.HyperParameters(), self.base)
        return self._cut(default).training.epochs

    def _cut(self, experiment: Experiment) -> Experiment:
        objective, most = self.space.objective, self.spec.budget_epochs
        if experiment.data.holdout is None:
            raise SpaceError(f"{self.space.path}: data.holdout is none, so there is no {objective}")
        if isinstance(experiment.model, Autoencoder) and objective == "validation_accuracy":
            raise SpaceError(f"{self.space.path}: an autoencoder has no {objective}")
        epochs = experiment.training.epochs
        return experiment if most is None else with_training(experiment, epochs=min(most, epochs))


def planned_search(
    space: str,
    *,
    oracle: Oracle | None = None,
    trials: int | None = None,
    seed: int = 0,
    finalists: int = 3,
    seeds: int = 3,
    batch: int | None = None,
    budget: Budget = "quick",
    sample: bool = False,
    data: DataSpec | None = None,
    data_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan the search of a space, named or a file; what is not given is as the space has it.

    ``data`` is a dataset to take in place of the space's own; ``settings`` are fields of the
    experiment that the space derives from.

    Raises CallError: there is no such space, its file is wrong, or a setting is.
    """
    chosen = load_space(space)
    oracle, cost = oracle or chosen.oracle, chosen.budgets[budget]
    if data is not None and sample:
        raise CallError("--sample: only the space's own dataset has one; leave --data out")
    if trials is None and oracle != "hyperband":
        trials = cost.trials
    if trials is None and oracle in ("random", "bayesian"):
        raise CallError(f"--trials: the oracle {oracle} needs a number; {chosen.name} names none")
    base = of_sample(chosen.base()) if sample else chosen.base()
    if data is not None:
        base = on_other_data(base, data, dataset_for(data, data_dir))
    base = override(base, dict(settings or {}))
    base = with_data(base, fraction=min(cost.fraction, base.data.fraction))
    spec = SearchSpec(
        space=chosen.name,
        question=chosen.question,
        objective=chosen.objective,
        direction=chosen.direction,
        oracle=oracle,
        seed=seed,
        budget=budget,
        budget_epochs=cost.epochs,
        sample=sample,
        base=base.model_dump(mode="json"),
        hyperparameters=(),
        source_sha256=chosen.source_sha256,
        trials=trials,
        finalists=finalists,
        seeds=seeds,
        command=command_line(),
        batch=batch or BATCH[oracle],
    )
    on_sample = ["sample"] if sample else []
    decisive = {"base": spec.base, "source": spec.source_sha256, "batch": spec.batch}
    label = "-".join([chosen.name, oracle, budget, *on_sample, f"seed{seed}", *digest_of(decisive)])
    departs = [*([file_name(base.data)] if data else []), *(["quick"] if budget == "quick" else [])]
    export_name = "-".join([chosen.name, *departs, *on_sample, *digest_of(settings or {})])
    return Plan(chosen, base, spec, label, export_name)
