"""The studies, by name.

A study is a question, a set of experiments, what was published, and how its runs answer. A study's
file reads like a lab notebook; nothing in it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kerascw.errors import CallError, choices
from kerascw.published import Published
from kerascw.spec import Experiment

if TYPE_CHECKING:
    from kerascw.engine.store import Run

Budget = Literal["quick", "full"]
BUDGETS: tuple[Budget, ...] = ("full", "quick")
Runs = Mapping[str, Sequence["Run"]]
"""The runs of each variant, one a seed, in the order of the seeds."""


@dataclass(frozen=True)
class Quick:
    """What makes a study quick: at most so many epochs, on a stratified part of the data."""

    epochs: int
    fraction: float = 1.0
    seeds: int = 3


@dataclass(frozen=True)
class Answer:
    """A sentence computed from the runs, with the question it answers."""

    question: str
    answer: str


def _nothing(*_: Any) -> Any:
    return {}


@dataclass(frozen=True)
class Study:
    """What a study is before anything is run.

    ``variants`` gives the published protocol to the epoch; ``then`` a second round that depends on
    the runs of the first; ``published`` the report's figures by variant and figure name (such as
    ``test.accuracy``, see :func:`kerascw.evaluation.statistics.figure_of`); ``refused`` models that
    the report lists and that cannot be fitted, with the reason.
    """

    name: str
    question: str
    dataset: str
    variants: Callable[[], dict[str, Experiment]]
    expected: dict[Budget, str]  # how long it takes on 2 cores, as measured
    quick: Quick
    default_budget: Budget = "quick"
    full_seeds: int = 3
    figures: tuple[str, ...] = ("test.accuracy", "test.loss")
    baseline: str | None = None  # the variant that differences are taken to
    published: Callable[[], dict[str, dict[str, Published]]] = _nothing
    deviations: tuple[str, ...] = ()  # from the published protocol
    then: Callable[[Runs], dict[str, Experiment]] = _nothing
    refused: Callable[[], dict[str, str]] = _nothing
    answers: Callable[[Runs], list[Answer]] = lambda _: []
    # further figures: file name to (matplotlib Figure, what it shows), drawn into the folder
    pictures: Callable[[Runs, Any], dict[str, tuple[Any, str]]] | None = None
    draws_features: bool = False  # whether pictures are feature maps, of a layer that is asked for
    exports: str | None = None  # the folder in saved_models/ that its model goes to

    def seeds(self, budget: Budget) -> int:
        """Return over how many seeds the study runs if nothing else is asked."""
        return self.quick.seeds if budget == "quick" else self.full_seeds

    def experiments(self, budget: Budget) -> dict[str, Experiment]:
        """Return the variants at this budget."""
        return {name: at_budget(self, e, budget) for name, e in self.variants().items()}


def at_budget(study: Study, experiment: Experiment, budget: Budget) -> Experiment:
    """Return the experiment as the budget has it."""
    if budget == "full":
        return experiment
    training, data, quick = experiment.training, experiment.data, study.quick
    return experiment.model_copy(
        update={
            "training": training.model_copy(update={"epochs": min(quick.epochs, training.epochs)}),
            "data": data.model_copy(update={"fraction": min(quick.fraction, data.fraction)}),
        }
    )


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    from kerascw.studies import bag, convnet_lab, digits_svhn, fashion, image_techniques

    studies: dict[str, Study] = {}
    for study in (
        fashion.STUDY,
        *bag.STUDIES,
        *convnet_lab.STUDIES,
        *image_techniques.STUDIES,
        *digits_svhn.STUDIES,
    ):
        if study.name in studies:
            raise ValueError(f"two studies are named {study.name}")
        studies[study.name] = study
    return studies


def study_named(name: str) -> Study:
    """Return a study, or raise a :class:`CallError` with the choices."""
    studies = all_studies()
    if name not in studies:
        raise CallError(f"no study {name!r}; choose {choices(studies)}")
    return studies[name]


__all__ = ["Answer", "Budget", "Published", "Quick", "Runs", "Study", "all_studies", "study_named"]
