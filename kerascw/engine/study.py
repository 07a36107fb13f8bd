"""Run a study: its variants over seeds, each run kept, none trained twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascw.engine.store import Run, Store
from kerascw.errors import CallError
from kerascw.spec import Experiment, override
from kerascw.studies import Study

SHORTCUTS = {
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.optimizer.learning_rate",
    "fraction": "data.fraction",
}
"""Options that stand for one field of the experiment."""


@dataclass(frozen=True)
class StudyResult:
    """The runs of a study: for every variant one run a seed."""

    study: Study
    runs: dict[str, list[Run]]

    @property
    def run(self) -> Run:
        """The run that validation chooses, never test; the first where nothing is held out."""
        every = [run for runs in self.runs.values() for run in runs]
        scored = [run for run in every if "validation" in run.metrics]
        if not scored:
            return every[0]
        return max(scored, key=lambda run: run.metrics["validation"]["accuracy"])

    def _repr_html_(self) -> str:
        return self.run._repr_html_()


def planned(
    study: Study,
    *,
    seeds: int = 1,
    seed: int = 0,
    sample: bool = False,
    settings: dict[str, Any] | None = None,
) -> dict[str, list[Experiment]]:
    """Return the study's experiments: every variant with ``settings`` applied, over the seeds.

    Raises
    ------
    CallError
        A setting that names no field, or a value of the wrong type or range.
    """
    if seeds < 1:
        raise CallError(f"seeds: {seeds} is less than 1")
    changes = dict(settings or {})
    if "seed" in changes:
        raise CallError("seed: use --seed, or --seeds for several")
    plan = {}
    for name, base in study.variants().items():
        experiment = of_sample(base) if sample else base
        experiment = override(experiment, changes)
        plan[name] = [
            override(experiment, {"seed": number}) for number in range(seed, seed + seeds)
        ]
    return plan


def of_sample(experiment: Experiment) -> Experiment:
    """Return the experiment on the bundled sample, holding out the same share of it.

    The sample has a tenth of the dataset's training pictures.
    """
    tree = experiment.model_dump(mode="json")
    tree["data"]["sample"] = True
    if tree["data"]["holdout"]:
        tree["data"]["holdout"]["count"] = max(1, tree["data"]["holdout"]["count"] // 10)
    return Experiment.model_validate(tree)


def retrained_on_everything(run: Run) -> Experiment:
    """Return the run's experiment without a validation part, for the epochs that it found best."""
    tree = run.experiment.model_dump(mode="json")
    tree["data"]["holdout"] = None
    tree["training"] |= {"epochs": run.metrics["kept_epoch"], "keep": "last", "patience": None}
    return Experiment.model_validate(tree)


def run_study(
    study: Study,
    plan: dict[str, list[Experiment]],
    store: Store,
    *,
    data_dir: str | Path | None = None,
    final: bool = False,
    watcher: Any = None,
) -> StudyResult:
    """Run what is planned; ``final`` then trains on everything for the epochs found best."""
    from kerascw.data import load_data
    from kerascw.engine.run import run_experiment

    runs: dict[str, list[Run]] = {}
    loaded: dict[tuple[str, bool], Any] = {}
    for name, experiments in plan.items():
        for experiment in experiments:
            which = (experiment.data.name, experiment.data.sample)
            if which not in loaded:
                loaded[which] = load_data(which[0], data_dir=data_dir, sample=which[1])
            run = run_experiment(experiment, loaded[which], store, watcher)
            runs.setdefault(name, []).append(run)
            if final:
                if experiment.data.holdout is None:
                    raise CallError("--final: data.holdout is none, everything is trained on")
                everything = retrained_on_everything(run)
                run = run_experiment(everything, loaded[which], store, watcher)
                runs.setdefault(f"{name}, all training data", []).append(run)
    return StudyResult(study, runs)
