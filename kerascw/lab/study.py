"""What a study is: a question, a set of experiments, what was published, how its runs answer.

A study's file reads like a lab notebook; nothing in it trains.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import with_data, with_training
from kerascw.lab.pictures import PictureSpec
from kerascw.lab.published import Figures, figures_of, report
from kerascw.runs.store import Run

Budget = Literal["quick", "full"]
BUDGETS: tuple[Budget, ...] = ("full", "quick")
Runs = Mapping[str, Sequence[Run]]
"""The runs of each variant, in order: one a seed, or with folds every fold of a seed."""
Drawn = dict[str, tuple[Any, str]]
"""Figures by file name, each with what it shows."""


@dataclass(frozen=True)
class Quick:
    """What makes a study quick: fewer epochs, on a stratified fraction of the training set."""

    epochs: int
    fraction: float = 1.0
    seeds: int = 3

    def of(self, experiment: Experiment) -> Experiment:
        """Make the experiment quick; the source of a warm start stays as it is."""
        shorter = with_training(experiment, epochs=min(self.epochs, experiment.training.epochs))
        return with_data(shorter, fraction=min(self.fraction, experiment.data.fraction))


@dataclass(frozen=True)
class Answer:
    """A sentence computed from the runs, with the question it answers."""

    question: str
    answer: str


@dataclass(frozen=True)
class Study:
    """A study before anything is run.

    ``variants`` gives the published protocol to the epoch; ``then`` a second round that depends on
    the runs of the first; ``published`` the report's figures by variant and figure name (such as
    ``test.accuracy``, see :func:`kerascw.lab.verdict.figure_of`); ``refused`` models that the
    report lists and that cannot be fitted, with the reason.
    """

    name: str
    question: str
    variants: Callable[[], dict[str, Experiment]]
    dataset: str = ""  # for the list
    # how long it takes on 2 cores, as measured
    expected: Mapping[Budget, str] = field(default_factory=dict)
    quick: Quick = Quick(epochs=3)
    # where the quick budget is more than fewer epochs on a part of the training data
    quick_variants: Callable[[], dict[str, Experiment]] | None = None
    default_budget: Budget = "quick"
    full_seeds: int = 3
    figures: tuple[str, ...] = ("test.accuracy", "test.loss")
    baseline: str | None = None  # the variant that differences are taken to
    # gives each variant a baseline of its own, which ``baseline`` then describes in words
    baseline_of: Callable[[str], str | None] | None = None
    published: Callable[[], Figures] = dict
    deviations: tuple[str, ...] = ()  # from the published protocol
    then: Callable[[Runs], dict[str, Experiment]] = lambda _: {}
    refused: Callable[[], dict[str, str]] = dict
    answers: Callable[[Runs], list[Answer]] = lambda _: []
    led_by: str = ""  # how the question begins whose answer opens the page
    alternatives: bool = True  # whether one of the variants is chosen, by validation
    pictures: Callable[[Runs, Any], Drawn] | None = None  # further figures, for its folder
    leading_picture: str | None = None  # of these, the one that opens the page
    # what these show and --set pictures.FIELD changes, as they are if nothing is set
    shows: PictureSpec | None = None
    exports: str | None = None  # the name that its model is exported under
    no_folds: str = ""  # why its variants cannot be cross-validated
    # of a study that a command builds: what it is built from again when its page is drawn again
    arguments: Mapping[str, Any] | None = None
    # of a study from a file of one's own: ``file`` and the ``sha256`` of its text; of one that an
    # installed package brings: ``package``
    origin: Mapping[str, str] | None = None

    def seeds(self, budget: Budget) -> int:
        """Return the number of seeds that the study runs over by default."""
        return self.quick.seeds if budget == "quick" else self.full_seeds

    def base_of(self, variant: str) -> str | None:
        """Return the variant that this one's differences are taken to; None for a baseline."""
        if self.baseline_of is not None:
            return self.baseline_of(variant)
        return self.baseline if variant != self.baseline else None

    def experiments(self, budget: Budget) -> dict[str, Experiment]:
        """Return the variants at this budget."""
        if budget == "full":
            return self.variants()
        if self.quick_variants is not None:
            return self.quick_variants()
        return {name: self.quick.of(experiment) for name, experiment in self.variants().items()}

    def part(self, only: Collection[str]) -> "Study":
        """Return the study of some variants, without what is trained, said or drawn of them all."""

        def of(experiments: Callable[[], dict[str, Experiment]]) -> dict[str, Experiment]:
            return {name: own for name, own in experiments().items() if name in only}

        some = f"only {len(set(only))} of the study's {len(self.variants())} variants"
        return replace(
            self,
            deviations=(some, *self.deviations),
            variants=partial(of, self.variants),
            quick_variants=self.quick_variants and partial(of, self.quick_variants),
            refused=dict,
            then=lambda _: {},
            answers=lambda _: [],
            pictures=None,
            shows=None,
        )


def study(name: str, variants: Mapping[str, Experiment], question: str = "", **more: Any) -> Study:
    """Make a study of these experiments; ``more`` are further fields of :class:`Study`."""
    return Study(name=name, question=question or name, variants=lambda: dict(variants), **more)


def fields_of(name: str, study: str) -> dict[str, Any]:
    """Return the fields of a report's study that are data, from :mod:`kerascw.lab.published`."""
    facts = report(name)
    own = dict(facts["studies"][study])
    shared = facts["shared"][own.pop("shared")] if "shared" in own else ()
    own["deviations"] = (*shared, *own.get("deviations", ()))
    own["figures"] = tuple(own["figures"])
    if "quick" in own:
        own["quick"] = Quick(**own["quick"])
    return {"name": study, "published": partial(figures_of, name, study)} | own
