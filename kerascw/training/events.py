"""Write a run's TensorBoard events while it trains, with ``tf.summary``.

Events are a function of the experiment, its model and its history: a run that is resumed, or that
has no events, gets them anew. Nothing is lost with them.
"""

import contextlib
import functools
import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascw.experiment.spec import Custom, Experiment

PATTERN = "*tfevents*"
"""The names of the files that TensorBoard reads."""

IMAGES = ".images"
"""How the name of the file of a run's images ends; they are drawn after training."""


def _never_ends_training(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def call(self: "RunEvents", *args: Any) -> None:
        if self.failed:
            return
        try:
            method(self, *args)
        except Exception as error:
            self.give_up(error)

    return call


class RunEvents:
    """Write the events of one run to a folder of its own: one file, begun anew at every start.

    An error is reported once, as a warning, and does not end training. The events written so far
    are then removed, so that events that exist are whole or still growing.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment
        self.failed = False
        self._writer: Any = None

    @_never_ends_training
    def begin(
        self,
        model_config: Callable[[], Mapping[str, Any]],
        history: Sequence[Mapping[str, float]] = (),
        seconds: float = 0.0,
    ) -> None:
        """Write the model's graph, the hyperparameters and the epochs trained so far.

        ``model_config`` is the model's ``get_config``, ``seconds`` how long these epochs took.
        """
        import tensorflow as tf
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self.folder.mkdir(parents=True, exist_ok=True)
        old = list(self.folder.glob(PATTERN))
        self._writer = tf.summary.create_file_writer(str(self.folder))
        flat = flat_hyperparameters(self.experiment)
        # HParams groups the runs of one trial: the seeds of an experiment
        digest = hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:6]
        trial = f"{self.experiment.model.kind} {digest}"
        with self._writer.as_default(step=0):
            begun = hparams_pb(flat, trial, time.time() - seconds)
            tf.summary.experimental.write_raw_pb(begun.SerializeToString())
            # TensorBoard fails to draw a model within a model
            if not isinstance(self.experiment.model, Custom):
                tf.summary.graph(_graph(model_config()))
        for row in history:
            self._scalars(row)
        self._writer.flush()
        for file in old:
            file.unlink(missing_ok=True)

    @_never_ends_training
    def epoch(self, row: Mapping[str, float]) -> None:
        """Write one row of the history."""
        self._scalars(row)
        self._writer.flush()

    @_never_ends_training
    def end(self, metrics: Mapping[str, Any]) -> None:
        """Write the status and the figures of the run's metrics.json; close the file.

        Figures stand at the epoch whose weights are kept; a run that kept none has none.
        """
        import tensorflow as tf
        from tensorboard.plugins.hparams.api_pb2 import Status
        from tensorboard.plugins.hparams.summary import session_end_pb

        kept = metrics["kept_epoch"]
        status = "STATUS_SUCCESS" if metrics["status"] == "finished" else "STATUS_FAILURE"
        with self._writer.as_default(step=kept or 0):
            for tag, value in _final_figures(metrics) if kept is not None else ():
                tf.summary.scalar(tag, value)
            ended = session_end_pb(Status.Value(status))
            tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        self._writer.close()

    def give_up(self, error: Exception) -> None:
        """Warn once, and remove what was written."""
        self.failed = True
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        warnings.warn(f"no TensorBoard events of {self.folder.name}: {reason}", stacklevel=2)
        with contextlib.suppress(OSError):
            if self._writer is not None:
                self._writer.close()
            for file in self.folder.glob(PATTERN):
                file.unlink(missing_ok=True)

    def _scalars(self, row: Mapping[str, float]) -> None:
        import tensorflow as tf

        with self._writer.as_default(step=int(row["epoch"])):
            for name in row:
                if name != "epoch":
                    tf.summary.scalar(tag_of(name), row[name])


def write_images(folder: Path, images: Mapping[str, bytes], step: int) -> None:
    """Write PNG files by their tags into a file of their own, beside a run's other events."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder), filename_suffix=IMAGES)
    with writer.as_default(step=step):
        for tag, png in images.items():
            tf.summary.image(tag, tf.io.decode_png(png, channels=3)[tf.newaxis])
    writer.close()


# --- what is written ------------------------------------------------------------------------


def tag_of(column: str) -> str:
    """Return the tag of a column of the history: training beside validation, heads apart.

    >>> [tag_of(name) for name in ("train_loss", "aux1_validation_accuracy", "learning_rate")]
    ['loss/train', 'aux1_accuracy/validation', 'learning_rate']
    """
    found = re.fullmatch(r"(\w+?_)?(train|validation)_(\w+)", column)
    return f"{found[1] or ''}{found[3]}/{found[2]}" if found else column


def _final_figures(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield tag and value of each split's loss and accuracy, of every head."""
    heads = {"": metrics} | {f"{head}_": own for head, own in metrics.get("heads", {}).items()}
    for head, own in heads.items():
        for split in ("train", "validation", "test"):
            for figure in ("loss", "accuracy"):
                value = own.get(split, {}).get(figure)
                if value is not None:  # null in metrics.json: not finite
                    yield f"{head}final/{split}_{figure}", value


def flat_hyperparameters(experiment: Experiment) -> dict[str, float | bool | str]:
    """Return all fields but seed and fold by their dotted names, as HParams takes them.

    Runs that differ only in seed or fold have the same ones, so that HParams groups them.
    """
    tree = experiment.model_dump(mode="json")
    del tree["seed"]
    if tree["data"]["holdout"]:
        tree["data"]["holdout"].pop("fold", None)
    if tree["data"]["folder"]:  # where the folder lies does not matter
        tree["data"]["folder"]["path"] = Path(tree["data"]["folder"]["path"]).name
    start = experiment.start
    if start is not None:
        tree["start"] = f"{start.source.data.name} {start.source.model.kind}"
    return dict(_leaves(tree))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, float | bool | str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:  # what is neither a number nor a word is JSON
            plain = isinstance(value, bool | int | float | str)
            yield f"{path}{name}", value if plain else json.dumps(value)


def _graph(model_config: Mapping[str, Any]) -> Any:
    """Return the graph of the layers, to be written as the run's own graph.

    TensorBoard does not show the "conceptual graph" of Keras' callback until it is chosen.
    """
    import tensorflow as tf
    from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

    config = {**model_config, "name": ""}  # else all layers are in one box, which is closed
    if isinstance(config.get("output_layers"), dict):  # of several heads by name: it knows lists
        config["output_layers"] = list(config["output_layers"].values())
    graph = keras_model_to_graph_def({"config": config})
    for node in graph.node:
        node.op = node.attr["keras_class"].s.decode()
    # TensorBoard's own class is not TensorFlow's
    return tf.compat.v1.GraphDef.FromString(graph.SerializeToString())
