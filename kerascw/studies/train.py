"""Train on a dataset of one's own: a recipe, fitted to how many images there are.

python -m kerascw train flowers/
python -m kerascw train images.csv --recipe best --minutes 10
"""

import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerascw.data.load import data_label, dataset_for, splits_for
from kerascw.data.own import USUAL_SIZE
from kerascw.errors import CallError
from kerascw.experiment import spec
from kerascw.experiment.recipes import recipe_named
from kerascw.experiment.settings import override, validated
from kerascw.lab.derive import of_sample, on_other_data
from kerascw.lab.study import Study
from kerascw.models.backbone import LAYER
from kerascw.runs.run import file_name, run_experiment
from kerascw.runs.store import Store, write_json
from kerascw.runs.summary import read_json
from kerascw.studies import fashion
from kerascw.training.watcher import Watcher

SIGNS = ("digits", "mnist", "svhn", "svhn_extra")
"""Datasets of signs, which a mirror changes: the recipe for them has no flips."""

LEAST_STEPS = 1000
"""Training steps that a recipe takes at least, however few images there are."""

SMALLEST_BATCH = 8
"""Batch norm needs some images to take a mean of."""


def training(
    data: spec.DataSpec,
    *,
    recipe: str | None = None,
    backbone: str | None = None,
    weights: str = "imagenet",
    minutes: float | None = None,
    sample: bool = False,
    settings: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    runs: str | Path = "runs",
) -> Study:
    """Make the study that trains one model on ``data``, as :func:`kerascw.train` is asked to.

    The recipe is ``fast`` by default, for signs (:data:`SIGNS`) ``fastest``. Of ``minutes``, the
    rate is measured here and remembered under ``runs``, so that the same call continues the same
    run; it depends on the settings, which :func:`kerascw.run` applies again.

    Raises CallError, DataError: an unknown recipe, minutes beside epochs, or images that cannot be
    read.
    """
    changes = dict(settings or {})
    if backbone is None and weights != "imagenet":
        raise CallError("--weights: of which network? Give --backbone too")
    if backbone is not None and recipe is not None:
        raise CallError("--backbone: trains in its own way; leave --recipe out")
    if minutes is not None and minutes <= 0:
        raise CallError(f"--minutes: {minutes:g}; more than 0 are needed")
    if minutes is not None and "training.epochs" in changes:
        raise CallError("--minutes: chooses training.epochs; leave one of the two out")
    name = recipe or ("fastest" if data.name in SIGNS else "fast")
    on_data = on_other_data(fashion.recipe(), data, dataset_for(data, data_dir))
    base = recipe_named(name).of(on_data)
    if backbone is not None:
        base = head_of(base, backbone, weights)

    def asked(experiment: spec.Experiment) -> spec.Experiment:
        return override(of_sample(experiment) if sample else experiment, changes)

    images = len(splits_for(asked(base).data, data_dir).train)
    base = fitted(base, images)
    variants = {name: base} if backbone is None else transferred(base, images, changes)
    if minutes is not None:
        for variant, each in variants.items():
            share = 60 * minutes / len(variants)
            epochs = epochs_within(share, asked(each), Store(runs), data_dir)
            variants[variant] = override(each, {"training.epochs": epochs})
    how = f"the recipe {name}"
    if backbone is not None:  # the second step begins with the first one's weights
        start = spec.WarmStart(source=variants[HEAD], layers=(LAYER, spec.MAIN_HEAD))
        variants[WHOLE] = variants[WHOLE].model_copy(update={"start": start})
        which = "ImageNet" if weights == "imagenet" else Path(weights).resolve().name
        how = f"{backbone} with {which} weights"
    parts = ["train", file_name(data), backbone or name, f"{minutes:g}min" if minutes else None]
    question = f"How well does {how} do on {data_label(data)}?"
    return trained("-".join(filter(None, parts)), variants, {"train": question})


def trained(
    name: str, variants: Mapping[str, spec.Experiment], arguments: Mapping[str, Any]
) -> Study:
    """Return the study that ``train`` ran, from what is kept of it."""
    data = next(iter(variants.values())).data
    return Study(
        name=name,
        question=arguments["train"],
        variants=lambda: dict(variants),
        dataset=data_label(data),
        default_budget="full",
        full_seeds=1,
        figures=("validation.accuracy", "test.accuracy", "test.loss"),
        exports=file_name(data),
        arguments=arguments,
    )


def fitted(experiment: spec.Experiment, images: int) -> spec.Experiment:
    """Fit batch and epochs to so many training images.

    A batch is at most a tenth of them, and there are at least :data:`LEAST_STEPS` steps.
    """
    old = experiment.training
    batch = min(old.batch_size, max(SMALLEST_BATCH, images // 10))
    epochs = max(old.epochs, math.ceil(LEAST_STEPS / math.ceil(images / batch)))
    return override(experiment, {"training.batch_size": batch, "training.epochs": epochs})


# --- transfer -------------------------------------------------------------------------------

BACKBONE_SIDE = 96
"""Pixels a side that large images are read at for a backbone, unless told otherwise."""

HEAD, WHOLE = "output layer", "all layers"
"""The two steps."""


def head_of(experiment: spec.Experiment, network: str, weights: str) -> spec.Experiment:
    """Replace the model by a frozen backbone below a new output layer, and how it is trained.

    Source of both steps: Keras' guide "Transfer learning & fine-tuning", Adam at 1e-3 for 20
    epochs, then at 1e-5 for 10; here with the batch and the augmentation of the recipe.
    """
    fields: Any = {"network": network, "weights": weights}
    tree = experiment.model_dump(mode="python")
    tree["model"] = validated(spec.Backbone, fields, "--backbone: ")
    changes: dict[str, Any] = {
        "epochs": 20, "batch_size": 32, "optimizer": spec.Adam(learning_rate=1e-3),
        "schedule": spec.Constant(), "keep": "validation_loss", "precision": "float32",
        "label_smoothing": 0.0, "weight_average": 0.0,
    }  # fmt: skip
    tree["training"] |= changes
    return spec.Experiment.model_validate(tree)


def for_backbone(data: spec.DataSpec) -> spec.DataSpec:
    """Read images of different or large sizes larger than for a network of our own."""
    folder = data.folder
    if folder is None or (folder.height, folder.width) != USUAL_SIZE:
        return data
    larger = {"height": BACKBONE_SIDE, "width": BACKBONE_SIDE}
    return data.model_copy(update={"folder": folder.model_copy(update=larger)})


def transferred(
    head: spec.Experiment, images: int, changes: Mapping[str, Any]
) -> dict[str, spec.Experiment]:
    """Return both steps with the changes, the second fitted to so many training images too.

    The first step trains without augmentation: then an image's features are computed once.
    """
    slow = {"training.optimizer.learning_rate": 1e-5, "training.epochs": 10}
    whole = fitted(override(head, {"model.frozen": False} | slow), images)
    first = override(head, {"training.augmentation": (), **changes})
    return {HEAD: first, WHOLE: override(whole, changes)}


# --- so many minutes ------------------------------------------------------------------------


def epochs_within(
    seconds: float, experiment: spec.Experiment, store: Store, data_dir: str | Path | None = None
) -> int:
    """Return how many epochs of the experiment fit into so many seconds, at least one.

    What it measures, the seconds of the start and of an epoch, is kept in the store.
    """
    key = experiment.model_copy(
        update={"training": experiment.training.model_copy(update={"epochs": 1})}
    ).key(dataset_for(experiment.data, data_dir).fingerprint)
    file = store.folder / "rates" / f"{key}.json"
    if not file.is_file():
        start, epoch = _measured(experiment, data_dir)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"start_seconds": start, "epoch_seconds": epoch})
    rate = read_json(file)
    return max(1, int((seconds - rate["start_seconds"]) / rate["epoch_seconds"]))


MEASURED_IMAGES = 4000
"""Training images of the three epochs that are measured."""


def _measured(experiment: spec.Experiment, data_dir: str | Path | None) -> tuple[float, float]:
    """Train three epochs on a part of the data; the first has the start in it."""
    share = min(1.0, MEASURED_IMAGES / len(splits_for(experiment.data, data_dir).train))
    part = share * experiment.data.fraction
    short = override(experiment, {"training.epochs": 3, "data.fraction": part})
    times = _Times()
    with tempfile.TemporaryDirectory() as folder:
        run_experiment(short, dataset_for(short.data, data_dir), Store(folder), times)
    began, first, _, third = times.at
    epoch = (third - first) / 2
    return max(0.0, first - began - epoch), epoch / share


class _Times(Watcher):
    """Notes when training began and when each epoch ended."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def started(self, experiment: spec.Experiment, images: int, epochs_done: int) -> None:
        self.at.append(time.monotonic())

    def epoch(self, row: dict[str, float]) -> None:
        self.at.append(time.monotonic())
