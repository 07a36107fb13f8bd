"""The embedding of a run's test images: kept beside the run, drawn, and put into sentences."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from kerascw.data.load import splits_for
from kerascw.errors import CallError
from kerascw.evaluation import embedding as tsne
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.lab.pictures import EmbeddingMap, splits_of
from kerascw.lab.study import Answer, Study
from kerascw.lab.table import spread_text
from kerascw.report.embedding_figures import scatter
from kerascw.runs.store import Run

FILE = "embedding.npz"
"""In the run's folder, for the settings that were asked for last."""

FEWEST = 30
"""Test images that an embedding needs."""

PAIRS = 5
"""How many pairs of classes are named."""


def check_embedding(options: EmbeddingMap, study: Study, experiment: Experiment) -> None:
    """Raise a :class:`CallError` if there are no such points or no such perplexity."""
    if experiment.reconstructs:
        raise CallError(
            f"model.kind: {experiment.model.kind} tells no classes apart; study {study.name} draws "
            "the embedding of a classifier"
        )
    data, points, perplexity = experiment.data, options.points, options.perplexity
    there = len(splits_for(data, options.data_dir).test)
    if there < FEWEST:
        raise CallError(
            f"data.name: {data.name} has {there} test images; an embedding needs {FEWEST}"
        )
    if points is not None and not FEWEST <= points <= there:
        raise CallError(f"pictures.points: {points}; choose from {FEWEST} to {there}")
    most = ((points or there) - 1) / 3  # t-SNE looks at three times as many points
    if perplexity is not None and not 1 <= perplexity <= most:
        raise CallError(
            f"pictures.perplexity: {perplexity:g}; choose from 1 to {int(most)}, a third of the "
            f"{points or there:,} points"
        )


def embedding_of(run: Run, options: EmbeddingMap | None) -> tsne.Embedding:
    """Return the embedding of the run's test images, computed only if it is not kept.

    Without options it is the one that was computed last. It follows from the run's result and is
    not part of it, so it is not in the manifest.
    """
    there = run.metrics["test"]["examples"]
    kept = tsne.Embedding.load(run.folder / FILE)
    if options is None and kept is not None:
        return kept
    options = options or EmbeddingMap()
    points = options.points or there
    settings: dict[str, Any] = {
        # one as large as a class would let the points of a class collapse
        "perplexity": options.perplexity or min(30.0, points / 10),
        "points": points,
        "seed": tsne.SEED,
        "neighbours": tsne.NEIGHBOURS,
        "scikit-learn": version("scikit-learn"),
    }
    if kept is not None and kept.settings == settings:
        return kept
    test, classes = splits_of(run, options).test, len(run.metrics["class_names"])
    # of fewer than all, every class with its share: evenly spaced in the order of the classes
    order = np.argsort(test.labels, kind="stable")
    positions = np.sort(order[np.linspace(0, there - 1, points).round().astype(int)])
    activations = tsne.penultimate(run.model(), test.images[positions])
    computed = tsne.embed(activations, test.labels[positions], classes, positions, settings)
    computed.save(run.folder / FILE)
    return computed


def embedding_answers(runs: Sequence[Run]) -> list[Answer]:
    """Say whether near classes are confused ones, over the seeds, and how far to trust the plane.

    The answers are about the embeddings that were drawn last.
    """
    embeddings = [embedding_of(run, None) for run in runs]
    run, first = runs[0], embeddings[0]
    trust = f"{first.trustworthiness:.4f} of 1"
    if np.isnan(first.trustworthiness):
        trust = "not defined for so few points"
    return [
        _near_and_confused(runs, embeddings),
        Answer(
            "How far can the plane be trusted?",
            f"Trustworthiness {trust}: how seldom neighbours in the plane are far apart in the "
            f"layer. ({_described(run, first)}.)",
        ),
    ]


def _near_and_confused(runs: Sequence[Run], embeddings: Sequence[tsne.Embedding]) -> Answer:
    confusions = [np.array(run.metrics["test"]["confusion"]) for run in runs]
    in_plane = [tsne.pairs(e.shares, c) for e, c in zip(embeddings, confusions, strict=True)]
    in_layer = [tsne.pairs(e.layer_shares, c) for e, c in zip(embeddings, confusions, strict=True)]
    plane, layer = (
        [rho for several in of_runs if (rho := several.rank_correlation) is not None]
        for of_runs in (in_plane, in_layer)
    )
    first, class_names = in_plane[0], runs[0].metrics["class_names"]
    said = f"No rank correlation is defined over the {len(first.classes)} pairs of classes."
    if plane and layer:
        seeds = "one seed" if len(plane) == 1 else f"mean over {len(plane)} seeds"
        sure = over_seeds(plane).interval
        says = "" if sure is None else "Yes. " if sure[0] > 0 else "Not shown. "
        said = (
            f"{says}Rank correlation of neighbour share and confusion rate over the "
            f"{len(first.classes)} pairs of classes: {spread_text(over_seeds(plane))} in the "
            f"plane, {spread_text(over_seeds(layer))} in the layer itself ({seeds})."
        )
    names = [" and ".join(class_names[k] for k in pair) for pair in first.classes]
    near, wrong = tsne.largest(first.nearness, PAIRS), tsne.largest(first.confusion, PAIRS)
    listed_near = ", ".join(f"{names[at]} ({first.nearness[at]:.1%})" for at in near)
    listed_wrong = ", ".join(f"{names[at]} ({first.mistakes[at]:,})" for at in wrong)
    return Answer(
        "Are the classes that lie nearest also those confused most?",
        f"{said} Of seed {runs[0].experiment.seed}, nearest: {listed_near or 'none'}; "
        f"confused most: {listed_wrong or 'none'}; {len({*near} & {*wrong})} of these are on both "
        "lists.",
    )


def _described(run: Run, embedding: tsne.Embedding) -> str:
    settings = embedding.settings
    of_all = "all " if settings["points"] == run.metrics["test"]["examples"] else ""
    return (
        f"t-SNE of {of_all}{settings['points']:,} test images, {embedding.units} activations of "
        f"the layer before the output, perplexity {settings['perplexity']:.3g}, scikit-learn "
        f"{settings['scikit-learn']}, seed {run.experiment.seed} of the model, {settings['seed']} "
        "of the embedding; distances between far groups mean little"
    )


def embedding_pictures(
    runs: Sequence[Run], options: EmbeddingMap | None
) -> dict[str, tuple[Any, str]]:
    """Draw the first run's embedding: figures by name, with what each shows.

    The embeddings of the other runs are computed too: answers are over all seeds.
    """
    options, run = options or EmbeddingMap(), runs[0]
    embedding, *_ = [embedding_of(run, options) for run in runs]
    test = splits_of(run, options).test.take(embedding.positions)
    with np.load(run.folder / "predictions.npz") as kept:
        guesses = kept["test_probabilities"][embedding.positions].argmax(axis=1)
    return {
        "embedding": (
            scatter(embedding.points, test, guesses, run.metrics["class_names"]),
            f"the test images by t-SNE, a colour for each true class, "
            f"{int((test.labels != guesses).sum()):,} misclassified ones ringed; some images at "
            "their points in a frame of their class, dashed where misclassified; "
            f"{_described(run, embedding)}",
        )
    }
