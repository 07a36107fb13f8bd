"""Learning curves as studies: any model on growing fractions of any dataset.

    python -m kerascw learning-curve --dataset digits --model digits --fractions 5%,10%,20%,50%,100%

A learning curve is a study of initialisations x fractions x seeds. Bag-pretraining and bag-transfer
(:mod:`kerascw.studies.bag_learning`) are two of them; the command builds others.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascw.data.catalogue import CATALOG
from kerascw.data.load import dataset_for, splits_for
from kerascw.data.splits import nested_subset
from kerascw.errors import CallError, choices
from kerascw.experiment.settings import override, read_experiment
from kerascw.experiment.spec import DataSpec, Experiment, Holdout, WarmStart
from kerascw.lab.curves import (
    CurveFigures,
    by_initialisation,
    curve_variants,
    percent,
    same_fraction_of,
)
from kerascw.lab.derive import of_sample, on_other_data
from kerascw.lab.learning_answers import learning_curve_answers
from kerascw.lab.plan import Plan
from kerascw.lab.study import Answer, Drawn, Quick, Runs, Study
from kerascw.runs.run import file_name
from kerascw.runs.store import Store

RANDOM = "random"
"""The name of the initialisation with random weights."""


def curve_study(
    *,
    baseline: str = RANDOM,
    curves: CurveFigures | None = None,
    answers: Callable[[Runs], list[Answer]] = lambda _: [],
    pictures: Callable[[Runs, Any], Drawn] = lambda *_: {},
    **fields: Any,
) -> Study:
    """Return a study with the answers and figures of a learning curve, and further ones.

    ``baseline`` is the initialisation that the others are compared with, at the same fraction;
    ``curves`` says which figures are drawn and compared.
    """

    def all_answers(runs: Runs) -> list[Answer]:
        return [*answers(runs), *learning_curve_answers(by_initialisation(runs), curves)]

    def all_pictures(runs: Runs, options: Any) -> Drawn:
        from kerascw.report.learning_curve import learning_curve_pictures

        return learning_curve_pictures(by_initialisation(runs), curves) | pictures(runs, options)

    return Study(
        **fields,
        baseline=f"{baseline} at the same fraction",
        baseline_of=same_fraction_of(baseline),
        answers=all_answers,
        led_by="From which fraction on do",
        pictures=all_pictures,
        leading_picture="learning_curve",
        no_folds="its learning curves are paired by seed",
    )


def learning_curve(
    name: str, variants: Mapping[str, Experiment], arguments: Mapping[str, Any]
) -> Study:
    """Return the study that the command ``learning-curve`` runs, of the first seed's variants.

    ``arguments`` has ``model``, ``dataset``, ``baseline`` and ``notes``: what differs from the
    model's own study.
    """
    model, notes = arguments["model"], arguments["notes"]
    question = f"How does training differ from study {model}'s own?"
    first = next(iter(variants.values()))
    return curve_study(
        baseline=arguments["baseline"],
        answers=lambda _: [Answer(question, note) for note in notes],
        name=name,
        question=f"Learning curve of {model} on {arguments['dataset']}: how much do more images "
        "gain?",
        dataset=arguments["dataset"],
        variants=lambda: dict(variants),
        expected={},
        quick=Quick(epochs=first.training.epochs),
        figures=("validation.loss", "test.accuracy", "train.loss"),
        arguments=arguments,
    )


# --- from the command's words ---------------------------------------------------------------


def planned_curve(
    studies: Mapping[str, Study],
    store: Store,
    *,
    model: str,
    data: DataSpec,
    fractions: Sequence[float],
    initialisations: str = RANDOM,
    freeze: bool = False,
    seeds: int = 5,
    sample: bool = False,
    data_dir: str | Path | None = None,
    changes: Mapping[str, Any],
) -> Plan:
    """Return the learning curve's plan: every initialisation at every fraction over the seeds.

    ``model`` is a study, whose first variant is trained; ``initialisations`` a list, with commas
    between. All seeds of an initialisation start from the same weights, those that it names.

    Raises CallError: a name that is no study, run or file, a source of which no layer fits, or
    fractions that are the same images.
    """
    base = _classifier(model, studies)
    sources = _sources(initialisations, studies, store, sample=sample)
    if freeze and not any(sources.values()):
        raise CallError("--freeze: --init names random weights only; there are none to keep")
    data = data.model_copy(update={"sample": sample})
    dataset, notes = dataset_for(data, data_dir), []
    if base.data.holdout is None:
        count = max(1, len(dataset.train) // 10)
        base = override(base, {"data.holdout": Holdout(how="stratified", count=count)})
        notes.append(
            f"Study {model} holds no validation set out; here {count:,} training images are held "
            "out."
        )
    base = on_other_data(base, data, dataset)
    base = override(base, {"data.sample": sample} | dict(changes))
    _check_fractions(fractions, base, data_dir)
    starts: dict[str, WarmStart | None] = dict.fromkeys(sources)
    for name, source in sources.items():
        if source is None:
            continue
        layers = shared_layers(base, source, data_dir)
        if not layers:
            raise CallError(
                f"--init {name}: no layer but the output has the same name and shape of weights "
                "in both models"
            )
        starts[name] = WarmStart(source=source, layers=layers, frozen=freeze)
    variants = curve_variants(base, starts, fractions)
    experiments = {
        name: [first.model_copy(update={"seed": seed}) for seed in range(seeds)]
        for name, first in variants.items()
    }
    text = "\n".join(e.canonical_json() for several in experiments.values() for e in several)
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    arguments = {
        "model": model,
        "dataset": dataset_for(base.data, data_dir).title,
        "baseline": next(iter(sources)),
        "notes": notes,
    }
    name = f"learning-curve-{model}-{file_name(base.data)}-{digest}"
    return Plan(learning_curve(name, variants, arguments), "full", experiments, {}, sample)


def _classifier(study: str, studies: Mapping[str, Study]) -> Experiment:
    """Return the first variant of the study, from random weights."""
    if study not in studies:
        raise CallError(f"--model {study!r}: no such study; choose {choices(studies)}")
    name, experiment = next(iter(studies[study].variants().items()))
    if experiment.reconstructs:
        raise CallError(
            f"--model {study}: its first variant, {name}, is an autoencoder, which has no "
            "accuracy; choose a study of classifiers"
        )
    return experiment.model_copy(update={"start": None})


def _sources(
    initialisations: str, studies: Mapping[str, Study], store: Store, *, sample: bool
) -> dict[str, Experiment | None]:
    """Return what each initialisation starts from, by its name; None for random weights."""
    sources: dict[str, Experiment | None] = {}
    for part in filter(None, (part.strip() for part in initialisations.split(","))):
        name, source = (RANDOM, None) if part == RANDOM else _source(part, studies, store, sample)
        if name in sources:
            raise CallError(f"--init: {name} is named twice")
        sources[name] = source
    if not sources:
        raise CallError("--init: names nothing; write random, a kept run, a study or a file")
    return sources


def _source(
    text: str, studies: Mapping[str, Study], store: Store, sample: bool
) -> tuple[str, Experiment]:
    """Return a name and the experiment of a file, a study or a kept run."""
    path = Path(text)
    if path.is_file():
        is_a_runs = path.name == "experiment.json"
        name = _short(path.resolve().parent.name) if is_a_runs else path.stem
        return name, read_experiment(path)
    if text in studies:
        experiment = next(iter(studies[text].variants().values()))
        own = CATALOG.get(experiment.data.name)
        has_sample = own is not None and own.sample
        return text, of_sample(experiment) if sample and has_sample else experiment
    try:
        run = store.find(text)
    except CallError as error:
        raise CallError(
            f"--init {text!r} is neither random, a file nor a study ({choices(studies)}); {error}"
        ) from None
    return _short(run.name), run.experiment


def _short(name: str) -> str:
    """Return a run's name short enough for tables.

    >>> _short("fashion_mnist-convnet-185e89c81b40bed4")
    'fashion_mnist-convnet-185e89'
    """
    return re.sub("(-[0-9a-f]{6})[0-9a-f]{10}$", r"\1", name)


def _check_fractions(
    fractions: Sequence[float], base: Experiment, data_dir: str | Path | None
) -> None:
    """Refuse two fractions that are the same images."""
    if base.data.holdout is None:
        raise CallError("data.holdout: none, but a learning curve needs a validation set")
    labels = splits_for(base.data, data_dir).train.labels
    counts: dict[int, float] = {}
    for fraction in fractions:
        count = len(nested_subset(labels, fraction, base.data.fraction_seed))
        if count in counts:
            raise CallError(
                f"--fractions: {percent(counts[count])} and {percent(fraction)} of {len(labels):,} "
                f"training images are the same {count:,}; leave one out"
            )
        counts[count] = fraction


def shared_layers(
    base: Experiment, source: Experiment, data_dir: str | Path | None
) -> tuple[str, ...]:
    """Return the layers, but for the output, whose weights have equal shapes in both models."""
    from kerascw.quiet import import_tensorflow

    import_tensorflow()
    from kerascw.models import build_model

    def shapes(experiment: Experiment) -> dict[str, list[tuple[int, ...]]]:
        splits = splits_for(experiment.data, data_dir)
        model = build_model(experiment.model, splits.train.shape, len(splits.class_names))
        return {
            layer.name: [tuple(weight.shape) for weight in layer.weights]
            for layer in model.layers
            if layer.weights and layer.name != "probabilities"
        }

    here, there = shapes(base), shapes(source)
    return tuple(name for name, weights in here.items() if there.get(name) == weights)
