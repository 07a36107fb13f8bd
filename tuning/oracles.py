"""KerasTuner's oracles, asked and told by their documented methods alone.

An oracle's answers depend on its seed and on the order in which it was asked and told, so a search
that was stopped asks and tells a fresh one the same again. Unlike in a ``keras_tuner.Tuner``:

- The seed is hashed: KerasTuner takes ``seed or random``, and its trial i of seed 1 is trial i - 1
  of seed 2 where there is one hyperparameter.
- A Bayesian search starts with a random trial for each hyperparameter and one more, at least five,
  not three times as many. Where its oracle gives a trial again, a random one takes its place.
- A trial without a score is told to a Bayesian oracle as bad as the worst so far, and to Hyperband
  as worse than any, so that both avoid its neighbourhood.
- The grid's oracle is told at once that a trial has ended, so that many are trained side by side.
"""

import hashlib
import math
import shutil
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine.hyperparameters import Fixed

from tuning.plan import Plan
from tuning.space import SpaceError

FACTOR = 3
"""Of Hyperband: each rung trains this many times longer than the one before, for a share of 1 /
FACTOR of its trials."""

BUILDS = 1000
"""How often a space may be asked for combinations that activate its conditional hyperparameters."""

DRAWS = 100
"""Random trials that may have been given before, until the repeated one is taken after all."""

NEVER = 10**9
"""Failed trials in a row after which KerasTuner raises: :mod:`tuning.search` has a rule of its
own, which knows the cause."""


class Asker:
    """One oracle that is asked for trials and told their scores.

    KerasTuner writes into ``folder``, which is emptied first. A :class:`SpaceError` says that the
    space gives no experiment for its default values.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._spec = plan.spec
        self._scores: list[float] = []
        self._asked = 0
        self._oracle = _oracle(plan)
        self._oracle.verbose = 0
        shutil.rmtree(folder, ignore_errors=True)
        # a tuner is the public way to give an oracle a folder, and to find every hyperparameter
        keras_tuner.Tuner(
            oracle=self._oracle,
            hypermodel=_explorer(plan),
            directory=str(folder),
            project_name="oracle",
        )
        self.random_start = 0
        """How many first trials are drawn without regard to results."""
        if self._spec.oracle == "bayesian":
            known = [hp for hp in self._oracle.get_space().space if not isinstance(hp, Fixed)]
            self.random_start = self._oracle.num_initial_points = max(5, len(known) + 1)

    @property
    def described(self) -> tuple[dict[str, Any], ...]:
        """The hyperparameters that are known so far, as plain JSON."""
        return tuple(_described(hp) for hp in self._oracle.get_space().space)

    def ask(self) -> Any | None:
        """Return KerasTuner's next trial; None where it needs results first, or has no more."""
        self._asked += 1
        with warnings.catch_warnings():  # of the Gaussian process' fit
            warnings.simplefilter("ignore")
            trial = self._oracle.create_trial(f"asked {self._asked}")
        return trial if trial.status == "RUNNING" else None

    def begun(self, trial: Any) -> None:
        """Tell which hyperparameters the trial turned out to have, before its score is known."""
        self._oracle.update_space(trial.hyperparameters)
        if self._spec.oracle == "grid":
            self._end(trial, None)

    def tell(self, trial: Any, score: float | None) -> None:
        """Tell a trial's score; None where it has none."""
        worst = min if self._spec.maximizes else max
        if score is not None:
            self._scores.append(score)
        elif self._spec.oracle == "bayesian" and self._scores:
            score = worst(self._scores)
        elif self._spec.oracle == "hyperband":
            score = worst(-math.inf, math.inf)
        if self._spec.oracle != "grid":
            self._end(trial, score)

    def _end(self, trial: Any, score: float | None) -> None:
        if score is not None:
            self._oracle.update_trial(trial.trial_id, {self._spec.objective: score})
        trial.status = "FAILED" if score is None else "COMPLETED"
        self._oracle.end_trial(trial)


class _Bayesian(oracles.BayesianOptimizationOracle):
    """KerasTuner's, which gives what it holds to be best again and again where choices are few."""

    def populate_space(self, trial_id: str) -> Any:
        given = super().populate_space(trial_id)
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        for draw in range(DRAWS):
            if given["values"] not in tried:
                break
            drawn = keras_tuner.HyperParameters()
            for at, hp in enumerate(self.get_space().space):
                drawn.merge([hp])
                if drawn.is_active(hp):
                    seed = self.seed + 10_000 * len(tried) + 100 * draw + at
                    drawn.values[hp.name] = hp.random_sample(seed)
            given = given | {"values": drawn.values}
        return given


def _oracle(plan: Plan) -> keras_tuner.Oracle:
    spec = plan.spec
    digest = hashlib.sha256(f"search {spec.seed}".encode()).hexdigest()
    common = {
        "objective": keras_tuner.Objective(spec.objective, spec.direction),
        "seed": 1 + int(digest, 16) % (2**31 - 1),
        "max_consecutive_failed_trials": NEVER,
    }
    if spec.oracle == "hyperband":  # None: as many rounds as the trials take
        rounds = 1 if spec.trials is None else None
        most = plan.most_epochs()
        return oracles.HyperbandOracle(
            max_epochs=most, factor=FACTOR, hyperband_iterations=rounds, **common
        )
    kinds = {
        "random": oracles.RandomSearchOracle,
        "grid": oracles.GridSearchOracle,
        "bayesian": _Bayesian,
    }
    # the search counts its trials itself, so that more can be asked for later
    return kinds[spec.oracle](max_trials=None, **common)


def _explorer(plan: Plan) -> Callable[[Any], Any]:
    """Return what a tuner calls to find the hyperparameters; only the default values must work."""
    builds = count(1)

    def build(hp: Any) -> Any:
        number = next(builds)
        if number > BUILDS:
            path = plan.space.path
            raise SpaceError(f"{path}: no combination makes every conditional_scope active")
        try:
            return plan.experiment(hp)
        except SpaceError:
            if number == 1:
                raise
            return None

    return build


def _described(hp: Any) -> dict[str, Any]:
    config = {"kind": type(hp).__name__} | hp.get_config()
    config["conditions"] = [
        {"name": c["config"]["name"], "values": list(c["config"]["values"])}
        for c in config.get("conditions", [])
    ]
    return config
