"""The studies: a lab notebook each, and the catalogue that knows them by name."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from kerascw.errors import CallError, KerascwError, choices
from kerascw.experiment.own_file import lines_named, load_file, sha256_of
from kerascw.experiment.spec import Experiment
from kerascw.lab import run as lab
from kerascw.lab.plan import StudyResult
from kerascw.lab.study import Study
from kerascw.runs.store import Store

NOTEBOOKS = (
    *("fashion", "bag", "bag_learning", "convnet_lab", "image_techniques", "digits_svhn", "lenet"),
    *("lenet_augmentation", "lenet_crossval"),
)
"""The modules here that have studies, in the order of the list."""


def all_studies() -> dict[str, Study]:
    """Return every study by its name."""
    modules = (import_module(f"kerascw.studies.{name}") for name in NOTEBOOKS)
    every = (study for module in modules for study in vars(module).values())
    studies = {study.name: study for study in every if isinstance(study, Study)}
    for study in _of_packages():
        if study.name in studies:
            warnings.warn(f"study {study.name} of {study.origin} is left out: that name is taken",
                          stacklevel=2)  # fmt: skip
        else:
            studies[study.name] = study
    return studies


GROUP = "kerascw.studies"
"""The entry points by which an installed package brings a study, or a list of studies."""


def _of_packages() -> list[Study]:
    """Load the studies that installed packages bring; one that cannot be loaded is named."""
    found = []
    for point in entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            with lines_named(f"package {package}: {point.value}"):
                given = point.load()
                every = [given] if isinstance(given, Study) else list(given)
                found += [replace(study, origin={"package": package}) for study in every]
        except KerascwError as error:
            warnings.warn(str(error), stacklevel=3)
    return found


def study_in(path: str | Path) -> Study:
    """Return the study of a file of one's own: its ``STUDY``.

    Raises CallError: the file raises, or has no study, or one whose name cannot be had.
    """
    study = vars(load_file(path)).get("STUDY")
    if not isinstance(study, Study):
        has = "has none" if study is None else f"is {type(study).__name__}"
        raise CallError(f"{path}: expected STUDY = kerascw.Study(...), but STUDY {has}")
    if not re.fullmatch(r"\w[\w.-]*", study.name):
        raise CallError(f"{path}: STUDY: name {study.name!r}; write letters, digits and -_. only")
    if study.name in all_studies():
        raise CallError(f"{path}: STUDY: name {study.name!r}: list has a study of that name")
    file = Path(path).expanduser().absolute()
    return replace(study, origin={"file": str(file), "sha256": sha256_of(file)})


def study_named(name: str) -> Study:
    """Look up a study, by name or by its file; a :class:`CallError` lists the choices."""
    if name.endswith(".py"):
        return study_in(name)
    studies = all_studies()
    if name not in studies:
        own = ", or a file that ends in .py"
        raise CallError(f"no study {name!r}; choose {choices(studies, name)}{own}")
    return studies[name]


def study_kept(kept: Mapping[str, Any], experiments: Mapping[str, Sequence[Experiment]]) -> Study:
    """Return the study that kept runs belong to: a named one, a file's, or one that a command made.

    ``kept`` is what :data:`kerascw.lab.run.KEPT` has of it; ``experiments`` are those of its runs.

    Raises CallError: the file that it was read from is gone or wrong.
    """
    name, arguments, origin = kept["study"], kept.get("arguments"), kept.get("origin", {})
    if arguments is not None:
        from kerascw.studies.learning_curve import learning_curve
        from kerascw.studies.train import trained
        from kerascw.studies.variance import variance_kept

        made_by = {"train": trained, "variance": variance_kept, "baseline": learning_curve}
        make = next(make for argument, make in made_by.items() if argument in arguments)
        return make(name, {n: several[0] for n, several in experiments.items()}, arguments)
    if fault := origin_fault(kept):
        if not Path(origin["file"]).is_file():
            raise CallError(f"{fault}; put it back to draw the study's page")
        warnings.warn(f"{fault}; the runs are those of then", stacklevel=2)
    if "file" in origin:
        study = study_in(origin["file"])
        if study.name != name:
            raise CallError(f"{origin['file']}: its STUDY is {study.name} now, not {name}")
        return study
    studies = all_studies()
    if name not in studies:
        package = origin.get("package")
        where = f"from {package}, which is not there" if package else "from Python, in no file"
        raise CallError(f"study {name} was run {where}; run it again from there to draw its page")
    return studies[name]


def origin_fault(kept: Mapping[str, Any]) -> str | None:
    """Say whether the file of a kept study is gone or has changed since it was run."""
    origin = kept.get("origin") or {}
    if "file" not in origin:
        return None
    file = Path(origin["file"])
    if not file.is_file():
        return f"study {kept['study']}: its file {file} is gone"
    if sha256_of(file) != origin.get("sha256"):
        return f"study {kept['study']}: its file {file} has changed since it was run"
    return None


def recall(name: str, store: Store) -> StudyResult:
    """Read back a kept study by name, or by its file: see :func:`kerascw.lab.run.recall`."""
    if name.endswith(".py"):
        name = study_in(name).name
    elif not is_study(name, store):
        study_named(name)  # raises, and lists the choices
    return lab.recall(name, store, study_kept)


def is_study(name: str, store: Store) -> bool:
    """Return whether this is the name or file of a study, or the name of one as it was run."""
    known = name.endswith(".py") or name in all_studies()
    return known or lab.remembered(name, store) is not None
