"""The studies, by name. A study is a question, a set of experiments, and what was published."""

from collections.abc import Callable
from dataclasses import dataclass

from kerascw.errors import CallError, choices
from kerascw.spec import Experiment


@dataclass(frozen=True)
class Study:
    """What a study is before anything is run. ``variants`` gives its experiments by name."""

    name: str
    question: str
    dataset: str
    expected: str  # how long one seed takes, as measured
    variants: Callable[[], dict[str, Experiment]]
    exports: str | None = None  # the folder in saved_models/ that its model goes to


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    from kerascw.studies import fashion

    studies: dict[str, Study] = {}
    for study in (fashion.STUDY,):
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
