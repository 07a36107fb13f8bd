"""The embedding of a run's test images: kept beside the run, drawn, and put into sentences."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from kerascw.data import split
from kerascw.data.load import dataset_for
from kerascw.errors import CallError
from kerascw.evaluation.embedding import (
    NEIGHBOURS,
    SEED,
    Embedding,
    Pair,
    among_the_mistaken,
    embed,
    largest,
    largest_perplexity,
    neighbours,
    pairs,
    penultimate,
    rank_correlation,
)
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment.spec import Experiment
from kerascw.lab.pictures import EmbeddingMap, splits_of
from kerascw.lab.study import Answer, Study
from kerascw.lab.table import spread_text
from kerascw.report.embedding_figures import neighbour_maps, scatter
from kerascw.runs.store import MANIFEST, Run

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
    data = experiment.data
    there = len(split(dataset_for(data, options.data_dir), data).test)
    if there < FEWEST:
        raise CallError(
            f"data.name: {data.name} has {there} test images; an embedding needs {FEWEST}"
        )
    if options.points is not None and not FEWEST <= options.points <= there:
        raise CallError(f"pictures.points: {options.points}; choose from {FEWEST} to {there}")
    most = largest_perplexity(options.points or there)
    if options.perplexity is not None and not 1 <= options.perplexity <= most:
        raise CallError(
            f"pictures.perplexity: {options.perplexity:g}; choose from 1 to {int(most)}, a "
            f"third of the {options.points or there:,} points"
        )


def embedding_of(run: Run, options: EmbeddingMap) -> Embedding:
    """Return the embedding of the run's test images, computed only if it is not kept.

    It follows from the run's result and is not part of it, so it is not in the manifest.
    """
    there = run.metrics["test"]["examples"]
    points = options.points or there
    settings: dict[str, Any] = {
        # one as large as a class would let the points of a class collapse
        "perplexity": options.perplexity or min(30.0, points / 10),
        "points": points,
        "seed": SEED,
        "neighbours": NEIGHBOURS,
        "scikit-learn": version("scikit-learn"),
        "model_sha256": _model_sha256(run),
    }
    kept = Embedding.load(run.folder / FILE)
    if kept is not None and kept.settings == settings:
        return kept
    test, classes = splits_of(run, options).test, len(run.metrics["class_names"])
    # of fewer than all, every class with its share: evenly spaced in the order of the classes
    order = np.argsort(test.labels, kind="stable")
    positions = np.sort(order[np.linspace(0, there - 1, points).round().astype(int)])
    activations = penultimate(run.model(), test.images[positions])
    computed = embed(activations, test.labels[positions], classes, positions, settings)
    computed.save(run.folder / FILE)
    return computed


def _last_embedding_of(run: Run) -> Embedding:
    """Return the embedding that was computed last; if there is none, that of all test images."""
    kept = Embedding.load(run.folder / FILE)
    if kept is not None and kept.settings.get("model_sha256") == _model_sha256(run):
        return kept
    return embedding_of(run, EmbeddingMap())


def _model_sha256(run: Run) -> str:
    digest: str = json.loads((run.folder / MANIFEST).read_text())["model.keras"]
    return digest


def _guesses(run: Run, embedding: Embedding) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted classes of the embedding's points: int ``[n]`` each."""
    with np.load(run.folder / "predictions.npz") as kept:
        labels, probabilities = kept["test_labels"], kept["test_probabilities"]
    return labels[embedding.positions], probabilities[embedding.positions].argmax(axis=1)


# --- answers --------------------------------------------------------------------------------


def embedding_answers(runs: Sequence[Run]) -> list[Answer]:
    """Say whether near classes are confused ones, over the seeds, and how far to trust the plane.

    The answers are about the embeddings that were drawn last.
    """
    embeddings = [_last_embedding_of(run) for run in runs]
    run, first = runs[0], embeddings[0]
    wrong, with_guess = among_the_mistaken(neighbours(first.points), *_guesses(run, first))
    share = f" ({with_guess / wrong:.0%})" if wrong else ""
    trust = f"{first.trustworthiness:.4f} of 1"
    if np.isnan(first.trustworthiness):
        trust = "not defined for so few points"
    return [
        _near_and_confused(runs, embeddings),
        Answer(
            "Do misclassified images lie with the class that they are taken for?",
            f"{with_guess:,} of {wrong:,}{share} have more neighbours of the predicted class than "
            f"of their own (seed {run.experiment.seed}).",
        ),
        Answer(
            "How far can the plane be trusted?",
            f"Trustworthiness {trust}: how seldom neighbours in the plane are far apart in the "
            f"layer. Divergence {first.divergence:.3f} nats. ({_described(run, first)}.)",
        ),
    ]


def _near_and_confused(runs: Sequence[Run], embeddings: Sequence[Embedding]) -> Answer:
    run, names = runs[0], runs[0].metrics["class_names"]
    confusions = [np.array(run.metrics["test"]["confusion"]) for run in runs]
    in_plane = [pairs(e.shares, c) for e, c in zip(embeddings, confusions, strict=True)]
    in_layer = [pairs(e.layer_shares, c) for e, c in zip(embeddings, confusions, strict=True)]
    plane, layer = (
        [rho for several in of_runs if (rho := rank_correlation(several)) is not None]
        for of_runs in (in_plane, in_layer)
    )
    several = in_plane[0]
    said = f"No rank correlation is defined over the {len(several)} pairs of classes."
    if plane and layer:
        seeds = "one seed" if len(plane) == 1 else f"mean over {len(plane)} seeds"
        said = (
            f"Rank correlation of neighbour share and confusion rate over the {len(several)} pairs "
            f"of classes: {spread_text(over_seeds(plane))} in the plane, "
            f"{spread_text(over_seeds(layer))} in the layer itself ({seeds})."
        )

    def named(pair: Pair) -> str:
        return " and ".join(names[label] for label in pair.classes)

    near, wrong = largest(several, "nearness", PAIRS), largest(several, "confusion", PAIRS)
    listed_near = ", ".join(f"{named(pair)} ({pair.nearness:.1%})" for pair in near)
    listed_wrong = ", ".join(f"{named(pair)} ({pair.mistakes:,})" for pair in wrong)
    return Answer(
        "Are the classes that lie nearest also those confused most?",
        f"{said} Of seed {run.experiment.seed}, nearest: {listed_near or 'none'}; "
        f"confused most: {listed_wrong or 'none'}; {len({*near} & {*wrong})} of these are on both "
        "lists.",
    )


def _described(run: Run, embedding: Embedding) -> str:
    settings = embedding.settings
    of_all = "all " if settings["points"] == run.metrics["test"]["examples"] else ""
    return (
        f"t-SNE of {of_all}{settings['points']:,} test images, {embedding.units} activations of "
        f"the layer before the output, perplexity {settings['perplexity']:.3g}, scikit-learn "
        f"{settings['scikit-learn']}, seed {run.experiment.seed} of the model, {settings['seed']} "
        "of the embedding; distances between far groups mean little"
    )


# --- figures --------------------------------------------------------------------------------


def embedding_pictures(
    runs: Sequence[Run], options: EmbeddingMap | None
) -> dict[str, tuple[Any, str]]:
    """Draw the first run's embedding: figures by name, with what each shows.

    The embeddings of the other runs are computed too: answers are over all seeds.
    """
    options, run = options or EmbeddingMap(), runs[0]
    embedding, *_ = [embedding_of(run, options) for run in runs]
    names = run.metrics["class_names"]
    labels, guesses = _guesses(run, embedding)
    test = splits_of(run, options).test.take(embedding.positions)
    return {
        "embedding": (
            scatter(embedding.points, test, guesses, names),
            f"the test images by t-SNE, a colour for each true class, "
            f"{int((labels != guesses).sum()):,} misclassified ones ringed; some images at their "
            "points in a frame of their class, dashed where misclassified; "
            f"{_described(run, embedding)}",
        ),
        "class_neighbours": (
            neighbour_maps(embedding.shares, np.array(run.metrics["test"]["confusion"]), names),
            f"left, the classes of the {NEIGHBOURS} nearest neighbours in the plane; right, the "
            "predictions for the images of each class; both in per cent of the row",
        ),
    }
