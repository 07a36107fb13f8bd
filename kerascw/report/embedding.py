"""The embedding of a run's test pictures: kept beside the run, and put into sentences."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from kerascw.data import split
from kerascw.data.load import dataset_for
from kerascw.errors import CallError
from kerascw.evaluation.embedding import (
    GRADIENT,
    NEIGHBOURS,
    SEED,
    Embedding,
    Pair,
    among_the_mistaken,
    default_perplexity,
    embed,
    largest_perplexity,
    most_confused,
    nearest,
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
from kerascw.report.embedding_figures import (
    PAIRS,
    figure_of_pair,
    heat_maps,
    pair_name,
    ranked_pairs,
    scatter,
)
from kerascw.runs.store import MANIFEST, Run

FILE = "embedding.npz"
"""In the run's folder, for the settings that were asked for last."""

FEWEST = 30
"""Test pictures that an embedding needs."""


# --- options, and what is kept --------------------------------------------------------------


def check_embedding(options: EmbeddingMap, study: Study, experiment: Experiment) -> None:
    """Raise a :class:`CallError` where there are no such points or no such perplexity."""
    if experiment.reconstructs:
        raise CallError(
            f"model.kind: {experiment.model.kind} tells no classes apart; study {study.name} draws "
            "the embedding of a classifier"
        )
    data = experiment.data
    there = len(split(dataset_for(data, options.data_dir), data).test)
    if there < FEWEST:
        raise CallError(
            f"data.name: {data.name} has {there} test pictures; an embedding needs {FEWEST}"
        )
    if options.points is not None and not FEWEST <= options.points <= there:
        raise CallError(f"pictures.points: {options.points}; choose from {FEWEST} to {there}")
    largest = largest_perplexity(options.points or there)
    if options.perplexity is not None and not 1 <= options.perplexity <= largest:
        raise CallError(
            f"pictures.perplexity: {options.perplexity:g}; choose from 1 to {int(largest)}, a "
            f"third of the {options.points or there:,} points"
        )


def embedding_of(run: Run, options: EmbeddingMap) -> Embedding:
    """Return the embedding of the run's test pictures, computed only if it is not kept.

    It is no part of the run's result, so not in its manifest; it follows from that.
    """
    there = run.metrics["test"]["examples"]
    points = options.points or there
    settings: dict[str, Any] = {
        "perplexity": options.perplexity or default_perplexity(points),
        "points": points,
        "seed": SEED,
        "gradient": GRADIENT,
        "neighbours": NEIGHBOURS,
        "openTSNE": version("openTSNE"),
        "model_sha256": _model_sha256(run),
    }
    kept = Embedding.load(run.folder / FILE)
    if kept is not None and kept.settings == settings:
        return kept
    test, classes = splits_of(run, options).test, len(run.metrics["class_names"])
    # of fewer than all, as many of each class as there are among all
    positions = np.arange(there) if points == there else _spread(test.labels, points)
    computed = embed(
        penultimate(run.model(), test.images[positions]),
        test.labels[positions],
        classes,
        positions,
        settings,
    )
    computed.save(run.folder / FILE)
    return computed


def last_embedding_of(run: Run) -> Embedding:
    """Return the embedding that was asked for last; that of all test pictures if none was."""
    kept = Embedding.load(run.folder / FILE)
    if kept is not None and kept.settings.get("model_sha256") == _model_sha256(run):
        return kept
    return embedding_of(run, EmbeddingMap())


def _model_sha256(run: Run) -> str:
    digest: str = json.loads((run.folder / MANIFEST).read_text())["model.keras"]
    return digest


def _spread(labels: np.ndarray, points: int) -> np.ndarray:
    """Return so many sorted positions, every class with its share of them."""
    order = np.argsort(labels, kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, points).round().astype(int)])


def pairs_of(run: Run, embedding: Embedding, *, in_layer: bool = False) -> list[Pair]:
    """Return every two classes, with their nearness and how often the run confuses them."""
    shares = embedding.layer_shares if in_layer else embedding.shares
    return pairs(shares, np.array(run.metrics["test"]["confusion"]))


def _guesses(run: Run, embedding: Embedding) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted classes of the embedding's points: int ``[n]`` each."""
    with np.load(run.folder / "predictions.npz") as kept:
        labels, probabilities = kept["test_labels"], kept["test_probabilities"]
    return labels[embedding.positions], probabilities[embedding.positions].argmax(axis=1)


# --- answers --------------------------------------------------------------------------------


def embedding_answers(runs: Sequence[Run]) -> list[Answer]:
    """Return whether near classes are confused ones, over the seeds, and how far to trust that.

    The answers are of the embeddings that were drawn last.
    """
    embeddings = [last_embedding_of(run) for run in runs]
    return [
        _near_and_confused(runs, embeddings),
        _where_mistakes_lie(runs[0], embeddings[0]),
        _how_faithful(runs[0], embeddings[0]),
    ]


def _near_and_confused(runs: Sequence[Run], embeddings: Sequence[Embedding]) -> Answer:
    names = runs[0].metrics["class_names"]
    several = pairs_of(runs[0], embeddings[0])
    plane, layer = (
        [
            rho
            for run, embedding in zip(runs, embeddings, strict=True)
            if (rho := rank_correlation(pairs_of(run, embedding, in_layer=in_layer))) is not None
        ]
        for in_layer in (False, True)
    )
    if plane and layer:
        seeds = "one seed" if len(plane) == 1 else f"mean over {len(plane)} seeds"
        said = (
            f"Rank correlation of neighbour share and confusion rate over the {len(several)} pairs "
            f"of classes: {spread_text(over_seeds(plane))} in the plane, "
            f"{spread_text(over_seeds(layer))} in the layer itself ({seeds})."
        )
    else:
        said = f"No rank correlation is defined over the {len(several)} pairs of classes."
    near, wrong = nearest(several, PAIRS), most_confused(several, PAIRS)

    def listed(chosen: Sequence[Pair], figure: str) -> str:
        return ", ".join(
            f"{pair_name(pair, names)} ({figure_of_pair(pair, figure)})" for pair in chosen
        )

    both = len({pair.classes for pair in near} & {pair.classes for pair in wrong})
    return Answer(
        "Are the classes that lie nearest also those confused most?",
        f"{said} Of seed {runs[0].experiment.seed}, nearest: {listed(near, 'nearness') or 'none'}; "
        f"confused most: {listed(wrong, 'mistakes') or 'none'}; {both} of these are on both lists.",
    )


def _where_mistakes_lie(run: Run, embedding: Embedding) -> Answer:
    wrong, with_guess = among_the_mistaken(neighbours(embedding.points), *_guesses(run, embedding))
    share = f" ({with_guess / wrong:.0%})" if wrong else ""
    return Answer(
        "Do misclassified pictures lie with the class that they are taken for?",
        f"{with_guess:,} of {wrong:,}{share} have more neighbours of that class than of their own "
        f"(seed {run.experiment.seed}).",
    )


def _how_faithful(run: Run, embedding: Embedding) -> Answer:
    trust = embedding.trustworthiness
    said = "not defined for so few points" if trust is None else f"{trust:.4f}"
    return Answer(
        "How far is the plane to be trusted?",
        f"Trustworthiness {said}; {embedding.kept_neighbours:.0%} of each point's {NEIGHBOURS} "
        f"nearest neighbours in the layer are so in the plane; divergence "
        f"{embedding.divergence:.3f} nats. ({_described(run, embedding)}.)",
    )


def _described(run: Run, embedding: Embedding) -> str:
    settings = embedding.settings
    there = run.metrics["test"]["examples"]
    of_all = "all " if settings["points"] == there else ""
    return (
        f"t-SNE of {of_all}{settings['points']:,} test pictures, {embedding.units} activations of "
        f"the layer before the output, perplexity {settings['perplexity']:.3g}, openTSNE "
        f"{settings['openTSNE']}, seed {run.experiment.seed} of the model, {settings['seed']} of "
        "the embedding; distances between far groups mean little"
    )


# --- figures --------------------------------------------------------------------------------


def embedding_pictures(
    runs: Sequence[Run], options: EmbeddingMap | None
) -> dict[str, tuple[Any, str]]:
    """Return the figures of the first run's embedding by name, with what each shows.

    Those of the others are computed too: answers are over all seeds.
    """
    options, run = options or EmbeddingMap(), runs[0]
    embedding, *_ = [embedding_of(run, options) for run in runs]
    names = run.metrics["class_names"]
    labels, guesses = _guesses(run, embedding)
    test = splits_of(run, options).test.take(embedding.positions)
    several = pairs_of(run, embedding)
    confusion = np.array(run.metrics["test"]["confusion"])
    return {
        "embedding": (
            scatter(embedding.points, test, guesses, names),
            f"the test pictures by t-SNE, a colour a true class, {int((labels != guesses).sum()):,}"
            " misclassified ones ringed; some pictures at their points in a frame of their class, "
            f"dashed where misclassified; {_described(run, embedding)}",
        ),
        "class_neighbours": (
            heat_maps(embedding.shares, confusion, names),
            f"left, the classes of the {NEIGHBOURS} nearest neighbours in the plane; right, what "
            "the pictures of each class are taken for; the diagonals hold the rest",
        ),
        "nearest_and_confused_classes": (
            ranked_pairs(several, names),
            f"the {PAIRS} pairs of classes that share most neighbours, by mean neighbour share, "
            f"beside the {PAIRS} confused most, by mistakes both ways; a line joins a pair to "
            "itself",
        ),
    }
