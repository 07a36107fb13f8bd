"""TensorBoard events of a run, written while it trains.

They are a function of the experiment, its model and its history: whoever goes on with a run, or
finds one without events, writes them anew. So nothing is lost with them. Written with TensorBoard's
own protocol buffers, which need no TensorFlow.
"""

import functools
import hashlib
import json
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascw.experiment.spec import Experiment

Event = Any
"""A ``tensorboard.compat.proto.event_pb2.Event``; its package has no types."""

PATTERN = "*tfevents*"
"""Of the file names that TensorBoard reads events from."""


def _never_ends_training(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def call(self: "RunEvents", *args: Any, **options: Any) -> None:
        if self.failed:
            return
        try:
            method(self, *args, **options)
        except Exception as error:
            self.give_up(error)

    return call


class RunEvents:
    """The events of one run in a folder of their own: one file, begun anew at every sitting.

    Whatever keeps them from being written is said once, as a warning, and ends no training; what
    was written by then is removed, so that events that are there are whole or still growing.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment
        self.failed = False
        self._file: Any = None

    @_never_ends_training
    def begin(
        self,
        model_config: Callable[[], Mapping[str, Any]],
        history: Sequence[Mapping[str, float]] = (),
        seconds: float = 0.0,
        now: float | None = None,
    ) -> None:
        """Write the model's graph, the hyperparameters and all epochs so far.

        Parameters
        ----------
        model_config : the model's ``get_config``.
        history : the epochs that are behind us.
        seconds : that they took; each epoch's event is given its share.
        now : when the last of them ended, in seconds since 1970; None: now.
        """
        now = time.time() if now is None else now
        began = now - seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard keeps its place in a file that it has opened. One of another name it reads
        # from the beginning, and takes what it says of a step for what it read of that step before
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
        temporary = self.folder / f".{name.replace('tfevents', 'writing')}"
        self._file = temporary.open("wb", buffering=0)
        self._write(
            [
                _version(began),
                event_of(
                    [_hyperparameters(self.experiment, began), _charts(self.experiment)], 0, began
                ),
                _graph(model_config(), began),
                *(
                    _scalars(row, began + seconds * number / len(history))
                    for number, row in enumerate(history, start=1)
                ),
            ]
        )
        for old in (*self.folder.glob(PATTERN), *self.folder.glob(".*writing*")):
            if old != temporary:
                old.unlink(missing_ok=True)
        temporary.rename(self.folder / name)

    @_never_ends_training
    def epoch(self, row: Mapping[str, float]) -> None:
        """Write one epoch's line of the history."""
        self._write([_scalars(row, time.time())])

    @_never_ends_training
    def end(self, closing: Callable[[], Iterable[Event]]) -> None:
        """Write what is known only when all is over, and close the file."""
        self._write(closing())
        self._file.close()

    def give_up(self, error: Exception) -> None:
        """Say it once, and leave nothing behind."""
        self.failed = True
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"no TensorBoard events of {self.folder.name}: {reason}", stacklevel=2)
        try:
            if self._file is not None:
                self._file.close()
            for file in (*self.folder.glob(PATTERN), *self.folder.glob(".*writing*")):
                file.unlink(missing_ok=True)
        except OSError:
            pass

    def _write(self, events: Iterable[Event]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        writer = RecordWriter(self._file)
        for event in events:
            writer.write(event.SerializeToString())


# --- what is written ------------------------------------------------------------------------


def tag_of(column: str) -> str:
    """Return the tag of a column of the history: training beside validation, heads apart.

    >>> [tag_of(name) for name in ("train_loss", "aux1_validation_accuracy", "learning_rate")]
    ['loss/train', 'aux1_accuracy/validation', 'learning_rate']
    """
    found = re.fullmatch(r"(\w+?_)?(train|validation)_(\w+)", column)
    return f"{found[1] or ''}{found[3]}/{found[2]}" if found else column


def flat_hyperparameters(experiment: Experiment) -> dict[str, float | bool | str]:
    """Return all fields but seed and fold by their dotted names, as HParams can take them.

    Runs that differ in nothing else have the same, and HParams takes them together.
    """
    tree = experiment.model_dump(mode="json")
    del tree["seed"]
    if tree["data"]["holdout"]:
        tree["data"]["holdout"].pop("fold", None)
    if experiment.data.folder is not None:  # as a whole: where it lies is not what it is
        folder = experiment.data.folder
        tree["data"]["folder"] = f"{Path(folder.path).name} {folder.height}x{folder.width}"
    start = experiment.start
    if start is None:
        tree["start"] = "random"
    else:
        source = f"{start.source.data.name} {start.source.model.kind}"
        frozen = ", frozen" if start.frozen else ""
        tree["start"] = f"{source} ({', '.join(start.layers)}{frozen})"
    return dict(_leaves(tree))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, float | bool | str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value if isinstance(value, bool | int | float) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(item)}" for name, item in value.items())
    return "none" if value is None else str(value)


def event_of(values: Iterable[Any], step: int, seconds: float) -> Event:
    """Return an event of these ``Summary.Value`` at a step (an epoch), at a time since 1970."""
    from tensorboard.compat.proto import event_pb2, summary_pb2

    summary = summary_pb2.Summary(value=values)
    return event_pb2.Event(wall_time=seconds, step=step, summary=summary)


def scalar(tag: str, figure: float) -> Any:
    """Return a ``Summary.Value`` of one figure, which TensorBoard keeps as float32."""
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary.Value(tag=tag, simple_value=figure)


def image(tag: str, png: bytes, width: int, height: int) -> Any:
    """Return a ``Summary.Value`` of one picture."""
    from tensorboard.compat.proto import summary_pb2

    picture = summary_pb2.Summary.Image(
        encoded_image_string=png, width=width, height=height, colorspace=3
    )
    return summary_pb2.Summary.Value(tag=tag, image=picture)


def session_end(succeeded: bool, seconds: float) -> Any:
    """Return the ``Summary.Value`` that ends a run for the HParams page."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
    content = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=seconds)
    )
    return summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        tensor=metadata.NULL_TENSOR,
        metadata=metadata.create_summary_metadata(content),
    )


def _version(seconds: float) -> Event:
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(wall_time=seconds, file_version="brain.Event:2")


def _scalars(row: Mapping[str, float], seconds: float) -> Event:
    values = [scalar(tag_of(name), float(row[name])) for name in row if name != "epoch"]
    return event_of(values, int(row["epoch"]), seconds)


def _hyperparameters(experiment: Experiment, seconds: float) -> Any:
    """Return the value that begins a run; HParams takes the seeds of one experiment together."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    flat = flat_hyperparameters(experiment)
    digest = hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:6]
    return hparams_pb(flat, f"{experiment.model.kind} {digest}", seconds).value[0]


def _graph(model_config: Mapping[str, Any], seconds: float) -> Event:
    """Return the event of the graph of the layers.

    Written as the run's own graph: what Keras' callback writes, a ``conceptual graph`` beside one
    of TensorFlow's operations, TensorBoard does not show until one chooses it, and without the
    other it says "Malformed GraphDef" first.
    """
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

    config = {**model_config, "name": ""}  # else all layers are in one box, which is closed
    if isinstance(config.get("output_layers"), dict):  # of several heads by name: it knows lists
        config["output_layers"] = list(config["output_layers"].values())
    graph = keras_model_to_graph_def({"config": config})
    for node in graph.node:
        node.op = node.attr["keras_class"].s.decode()
    return event_pb2.Event(wall_time=seconds, graph_def=graph.SerializeToString())


def _charts(experiment: Experiment) -> Any:
    """Return the value that lays out the page of custom scalars: both parts in one chart."""
    from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    figures = ["loss"] if experiment.reconstructs else ["loss", "accuracy"]
    heads = [f"{head}_" for head in getattr(experiment.model, "auxiliary_heads", ())]
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title="training and validation",
                chart=[
                    layout_pb2.Chart(
                        title=f"{head}{figure}",
                        multiline=layout_pb2.MultilineChartContent(tag=[f"^{head}{figure}/"]),
                    )
                    for head in ("", *heads)
                    for figure in figures
                ],
            )
        ]
    )
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=[layout.SerializeToString()],
        tensor_shape=tensor_shape_pb2.TensorShapeProto(),
    )
    return summary_pb2.Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        tensor=tensor,
        metadata=metadata.create_summary_metadata(),
    )
