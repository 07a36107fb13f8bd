"""The studies: a lab notebook each, and the catalogue that knows them by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerascw.errors import CallError, choices
from kerascw.experiment.spec import Experiment
from kerascw.lab import run as lab
from kerascw.lab.plan import StudyResult
from kerascw.lab.study import Study
from kerascw.runs.store import Store


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    from kerascw.studies import (
        bag,
        bag_learning,
        convnet_lab,
        digits_svhn,
        fashion,
        image_techniques,
        lenet,
        lenet_augmentation,
        lenet_crossval,
        lenet_embedding,
    )

    reports = (bag, bag_learning, convnet_lab, image_techniques, digits_svhn, lenet)
    every = (
        fashion.STUDY,
        *(study for module in reports for study in module.STUDIES),
        lenet_embedding.STUDY,
        lenet_augmentation.LENET_AUGMENTATION,
        lenet_crossval.CROSSVAL,
    )
    return {study.name: study for study in every}


def study_named(name: str) -> Study:
    """Look up a study, or raise a :class:`CallError` with the choices."""
    studies = all_studies()
    if name not in studies:
        raise CallError(f"no study {name!r}; choose {choices(studies, name)}")
    return studies[name]


def study_kept(
    name: str, arguments: Mapping[str, Any] | None, experiments: Mapping[str, Sequence[Experiment]]
) -> Study:
    """Return the study that kept runs belong to: one of the catalogue, or a learning curve.

    ``arguments`` is what a learning curve was built from, None for a study of the catalogue;
    ``experiments`` are those of every variant's runs.
    """
    if arguments is None:
        return study_named(name)
    from kerascw.studies.learning_curve import learning_curve

    return learning_curve(name, {n: several[0] for n, several in experiments.items()}, arguments)


def recall(name: str, store: Store) -> StudyResult:
    """Read back a kept study by name: see :func:`kerascw.lab.run.recall`."""
    return lab.recall(name, store, study_kept)


def is_study(name: str, store: Store) -> bool:
    """Return whether this is the name of a study, or of one as it was run."""
    return name in all_studies() or lab.remembered(name, store) is not None
