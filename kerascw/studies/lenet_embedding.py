"""Where LeNet's best variant puts the test images: t-SNE of the layer before its output.

    python -m kerascw run lenet-embedding
    python -m kerascw run lenet-embedding --set pictures.perplexity=50
    python -m kerascw run lenet-embedding --budget full --jobs 2

At full budget the runs are those of ``lenet-variants``, variant 4, and are trained once for both.
Each seed's embedding is kept beside its run, so that ``report`` draws it again at once; the figures
show that of the first seed.
"""

from typing import Any

from kerascw.experiment.spec import Experiment
from kerascw.lab.effects import with_weights
from kerascw.lab.pictures import EmbeddingMap
from kerascw.lab.study import Answer, Drawn, Runs, Study, fields_of
from kerascw.studies import lenet

VARIANT = "variant_4"


def variants() -> dict[str, Experiment]:
    """The variant with batch norm, whose hidden layers have 200 and 140 units."""
    return {VARIANT: lenet.experiment(VARIANT)}


def pictures(runs: Runs, options: Any) -> Drawn:
    """Draw the embedding, and near classes beside confused ones."""
    from kerascw.report.embedding import embedding_pictures

    trained = with_weights(runs[VARIANT])
    return embedding_pictures(trained, options) if trained else {}


def answers(runs: Runs) -> list[Answer]:
    """Say whether the classes that lie nearest are those confused most."""
    from kerascw.report.embedding import embedding_answers

    trained = with_weights(runs[VARIANT])
    return embedding_answers(trained) if trained else []


STUDY = Study(
    **fields_of("lenet_variants", "lenet-embedding"),
    variants=variants,
    answers=answers,
    led_by="Are the classes that lie nearest",
    pictures=pictures,
    shows=EmbeddingMap(),
)
