"""Run a planned study, keep which runs it consists of, and read that back."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kerascw.errors import CallError, KerascwError, counted
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.lab.derive import finals_of, repeated
from kerascw.lab.plan import FINAL, ONLY, Plan, StudyResult
from kerascw.lab.repeats import alternatives, best_by, repeat_text, values_of
from kerascw.lab.study import Study
from kerascw.lab.table import spread_text
from kerascw.runs.environment import command_line
from kerascw.runs.many import StudyWatcher, run_many
from kerascw.runs.store import MANIFEST, Run, Store, write_json
from kerascw.runs.summary import Summary, read_json, write_summary

LINKS = "tensorboard"
"""In a study's folder, before anything is trained: a link to each run's events, by variant."""

KEPT = "study.json"
"""Which runs a study consists of, and how it was run: in the study's folder."""


def run_study(
    plan: Plan,
    store: Store,
    *,
    data_dir: str | Path | None = None,
    final: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
    watcher: StudyWatcher | None = None,
) -> StudyResult:
    """Run what is planned, then what depends on it; nothing is drawn.

    ``final`` trains every run that held out again on validation too, for its best number of
    epochs; all folds of a seed are one such training, for the mean of their epochs.

    Raises CallError: ``final`` where nothing is held out, or what
    :func:`kerascw.runs.many.run_many` finds wrong, before anything is trained.
    """
    if final and not any(e.data.holdout for several in plan.experiments.values() for e in several):
        raise CallError("--final: data.holdout is none, everything is trained on as it is")

    folder = store.study_folder(plan.label)

    def run_all(experiments: Mapping[str, Sequence[Experiment]]) -> dict[str, list[Run]]:
        def link(names: Sequence[str]) -> None:
            more = experiments is not plan.experiments
            link_events(folder, store, experiments, names, more=more)

        every = [experiment for own in experiments.values() for experiment in own]
        done = iter(run_many(
            every, store, data_dir=data_dir, jobs=jobs, cluster=cluster, watcher=watcher, begin=link
        ))  # fmt: skip
        return {variant: [next(done) for _ in own] for variant, own in experiments.items()}

    runs = run_all(plan.experiments)
    seeds = sorted({e.seed for several in plan.experiments.values() for e in several})
    if following := plan.study.then(runs):
        runs |= run_all({name: repeated(e, seeds) for name, e in following.items()})
    if final:
        again = {name + FINAL: finals_of(several) for name, several in runs.items()}
        runs |= run_all({name: several for name, several in again.items() if several})
    result = StudyResult(plan, runs)
    _remember(result, store)
    return result


def link_events(
    folder: Path,
    store: Store,
    experiments: Mapping[str, Sequence[Experiment]],
    names: Iterable[str],
    *,
    more: bool = False,
) -> None:
    """Link the events of runs that a study is about to train, so that they are watched by name.

    ``names`` are those of all runs, variant by variant; ``more`` adds to before.
    """
    links, left = folder / LINKS, iter(names)
    with suppress(OSError):  # where there can be none TensorBoard shows runs by their own names
        if not more:
            shutil.rmtree(links, ignore_errors=True)
        for variant, own in experiments.items():
            place = links / (variant.replace("/", "-").strip(". ") or "variant")
            place.mkdir(parents=True, exist_ok=True)
            for experiment in own:
                events, link = store.events_folder(next(left)), place / repeat_text(experiment)
                events.mkdir(parents=True, exist_ok=True)  # a link to nothing makes it complain
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.relpath(events.resolve(), place.resolve()))


def _remember(result: StudyResult, store: Store) -> None:
    """Write which runs the study's result consists of, so that it can be read back."""
    plan = result.plan
    folder = store.study_folder(plan.label)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "study": plan.study.name,
        "budget": plan.budget,
        "sample": plan.sample,
        "changed": plan.changed,
        "command": command_line(),
        "arguments": plan.study.arguments,
        "alternatives": plan.study.alternatives,
        "runs": {name: [run.name for run in several] for name, several in result.runs.items()},
    }
    if plan.study.origin is not None:
        content["origin"] = dict(plan.study.origin)
    write_json(folder / KEPT, content)
    write_summary(folder, summary_of_study(folder, store))


StudyOf = Callable[[Mapping[str, Any], Mapping[str, Sequence[Experiment]]], Study]
"""Finds a study by what is kept of it (:data:`KEPT`), and its experiments."""


def recall(name: str, store: Store, study_of: StudyOf) -> StudyResult:
    """Read back the kept result of a study, without training anything.

    ``name`` is a study or the name of a folder in ``runs/studies/``. Of a study the full budget is
    preferred to the quick one, and both to changed settings.

    Raises CallError: the study was not run, or some of its runs are gone; KerascwError: what is
    kept of it is damaged.
    """
    file = remembered(name, store)
    if file is None:
        raise CallError(f"study {name} was not run yet; next: python -m kerascw run {name}")
    content = read_json(file)
    try:
        budget, changed, sample = content["budget"], dict(content["changed"]), content["sample"]
        names = {variant: [str(run) for run in own] for variant, own in content["runs"].items()}
        content["study"] = str(content["study"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KerascwError(
            f"{file}: damaged ({error!r}); next: python -m kerascw run {name}"
        ) from None
    runs: dict[str, list[Run]] = {}
    for variant, own in names.items():
        runs[variant] = [run for each in own if (run := store.get(each)) is not None]
        if len(runs[variant]) < len(own):
            raise CallError(f"study {name}: runs of {variant!r} are gone; run it again")
    experiments = {variant: [run.experiment for run in own] for variant, own in runs.items()}
    study, command = study_of(content, experiments), content.get("command")
    if ONLY in changed:
        study = study.part(changed[ONLY])
    plan = Plan(study, budget, experiments, changed, bool(sample), command, study.shows)
    return StudyResult(plan, runs)


def remembered(name: str, store: Store) -> Path | None:
    """Return the file that says how the study was run last; None if it was not run."""
    for label in (name, f"{name}-full", f"{name}-quick"):
        file = store.study_folder(label) / KEPT
        if file.is_file():
            return file
    changed = [file for file, content in kept_studies(store) if content.get("study") == name]
    return max(changed, key=lambda file: file.stat().st_mtime, default=None)


def kept_studies(store: Store) -> list[tuple[Path, dict[str, Any]]]:
    """Read every study.json of the store; damaged ones are left out."""
    kept = []
    for file in sorted(store.study_folder("").glob(f"*/{KEPT}")):
        try:
            content = read_json(file)
        except KerascwError:
            continue
        if isinstance(content.get("runs"), dict):
            kept.append((file, content))
    return kept


# --- in one line ----------------------------------------------------------------------------


def summary_of_study(folder: Path, store: Store) -> Summary:
    """Summarise a kept study: the figure of the variant with the best validation figure.

    Where the variants are no alternatives it is that of the first.

    Raises KerascwError: its study.json, or a file of a run, is damaged.
    """
    kept = read_json(folder / KEPT)
    try:
        names = [name for own in kept["runs"].values() for name in own]
        variants = {
            variant: [run for name in own if _is_well(run := Run(store.folder / name))]
            for variant, own in kept["runs"].items()
        }
        study, budget = str(kept["study"]), str(kept["budget"])
        sample = ", sample" if kept["sample"] else ""
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise KerascwError(f"{folder / KEPT}: damaged, {what}") from None
    variants = {variant: runs for variant, runs in variants.items() if runs}
    every = [run for runs in variants.values() for run in runs]
    among, kind = alternatives(variants)
    if not kept.get("alternatives", True):
        among = dict([*among.items()][:1])
    figure, chosen, values = _chosen_figure(among, kind)
    spread = over_seeds(values) if values else None
    text = spread_text(spread)
    seeds = counted(len({run.experiment.seed for run in every}), "seed")
    return Summary(
        kind="study",
        name=folder.name,
        dataset=", ".join(dict.fromkeys(run.summary.dataset for run in every)),
        model=", ".join(dict.fromkeys(run.experiment.model.kind for run in every)),
        figure=figure,
        value=spread and spread.mean,
        text=f"{text} ({chosen})" if len(variants) > 1 and spread else text,
        seeds=f"{seeds}, {len(variants)} variants" if len(variants) > 1 else seeds,
        budget=budget + sample,
        study=study,
        runs=tuple(names),
    )


def _is_well(run: Run) -> bool:
    """Return whether a run is there and its small files can be read."""
    try:
        return (run.folder / MANIFEST).is_file() and bool(run.summary and run.metrics)
    except KerascwError:
        return False


def _chosen_figure(
    variants: Mapping[str, Sequence[Run]], kind: str
) -> tuple[str, str, list[float]]:
    """Return a figure's name, the variant that validation chooses, and its values.

    To choose by the test set would flatter what it chooses.
    """
    for split in ("test", "validation"):
        values = {variant: values_of(runs, f"{split}.{kind}") for variant, runs in variants.items()}
        if scored := [variant for variant in variants if values[variant]]:
            chosen = best_by(variants, f"validation.{kind}", scored) or scored[0]
            return f"{split} {kind}", chosen, values[chosen]
    return "", "", []
