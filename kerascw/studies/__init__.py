"""The studies: a lab notebook each, and the catalogue that knows them by name."""

from kerascw.errors import CallError, choices
from kerascw.lab.study import Study


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

    studies: dict[str, Study] = {}
    for study in (
        fashion.STUDY,
        *bag.STUDIES,
        *bag_learning.STUDIES,
        *convnet_lab.STUDIES,
        *image_techniques.STUDIES,
        *digits_svhn.STUDIES,
        *lenet.STUDIES,
        lenet_embedding.STUDY,
        *lenet_augmentation.STUDIES,
        *lenet_crossval.STUDIES,
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
