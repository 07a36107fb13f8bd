"""What happens at the end of every epoch: validate, note figures, keep best weights, checkpoint."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import keras

from kerascw.data import Part, Splits
from kerascw.evaluation.metrics import loss_and_accuracy, reconstruction_errors
from kerascw.experiment.spec import MAIN_HEAD, Autoencoder, Experiment
from kerascw.training import checkpoint
from kerascw.training.checkpoint import Progress
from kerascw.training.events import RunEvents
from kerascw.training.loop import Epochs
from kerascw.training.optimizer import rate_of_next_epoch
from kerascw.training.predictor import Product
from kerascw.training.watcher import Watcher


def column_prefix(head: str) -> str:
    """Return what a head's columns in the history begin with: nothing for the main head.

    >>> column_prefix("aux1")
    'aux1_'
    """
    return "" if head == MAIN_HEAD else f"{head}_"


@dataclass(eq=False)
class Keeper(Epochs):
    """Keep what training reaches: history, best weights, checkpoint.

    Whether training has ended, and which epoch is best, follow from the history alone, so that a
    resumed run needs no state of the keeper. The training loop calls it between epochs
    (:class:`kerascw.training.loop.Epochs`).
    """

    model: keras.Model  # in training
    experiment: Experiment
    splits: Splits
    progress: Progress
    product: Product
    path: Path  # of the checkpoint
    watcher: Watcher
    events: RunEvents | None
    until: int | None  # pause after so many epochs

    def __post_init__(self) -> None:
        self._heads = (MAIN_HEAD, *self.experiment.auxiliary_weights)
        self._began = time.monotonic()

    @property
    def ended(self) -> str | None:
        """Why training is over: "diverged", "all epochs" or "patience"; None while it is not."""
        history, spec = self.progress.history, self.experiment.training
        if history and not all(math.isfinite(value) for value in history[-1].values()):
            return "diverged"
        if len(history) == spec.epochs:
            return "all epochs"
        kept = self.progress.kept_epoch
        if spec.patience and kept and len(history) - kept >= spec.patience:
            return "patience"
        return None

    @property
    def stops(self) -> bool:
        """Whether no further epoch is to be trained now."""
        paused = self.until is not None and len(self.progress.history) >= self.until
        return paused or self.ended is not None

    def score_untrained(self) -> None:
        """Score the validation set before the first epoch, where the experiment asks for it."""
        validation, progress = self.splits.validation, self.progress
        if self.experiment.training.evaluate_first and not progress.history and validation:
            progress.untrained = self._validated(validation)

    def begin(self, epoch: int) -> None:
        """Set the epoch's learning rate."""
        rate = rate_of_next_epoch(self.experiment.training, self.progress.history)
        if rate is not None:
            self.model.optimizer.learning_rate = rate
        self._began = time.monotonic()

    def images(self, epoch: int, count: int) -> None:
        self.watcher.images(epoch, count)

    def end(self, epoch: int, figures: dict[str, float]) -> bool:
        """Validate, add a row to the history, keep the weights if best, write the checkpoint."""
        row = self._trained(epoch, figures)
        if self.splits.validation is not None:
            row |= self._validated(self.splits.validation)
        progress = self.progress
        progress.history.append(row)
        if self._is_best(row):
            progress.kept_epoch = epoch + 1
            progress.kept_weights = self.product.weights()
        progress.seconds += time.monotonic() - self._began
        checkpoint.save(self.path, self.model, progress)
        if self.events is not None:
            self.events.epoch(row)
        self.watcher.epoch(row)
        return self.stops

    def _trained(self, epoch: int, figures: dict[str, float]) -> dict[str, float]:
        """Return the row's first columns: epoch, learning rate, training loss and accuracy."""
        row = {
            "epoch": epoch + 1,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
        }
        for head in self._heads:
            # Keras puts the head's name first where there is more than one
            own = f"{head}_" if len(self._heads) > 1 else ""
            prefix = column_prefix(head)
            loss = figures[f"{own}loss"]
            row[f"{prefix}train_loss"] = figures.get(f"{own}cross_entropy", loss)
            if f"{own}accuracy" in figures:
                row[f"{prefix}train_accuracy"] = figures[f"{own}accuracy"]
        return row

    def _validated(self, part: Part) -> dict[str, float]:
        """Return the row's columns of the validation set, scored by the product."""
        every_head = self.product.update()
        model = self.experiment.model
        if isinstance(model, Autoencoder):
            errors = reconstruction_errors(lambda x: every_head(x)[MAIN_HEAD], part.images)
            return {"validation_loss": float(errors.mean())}
        row: dict[str, float] = {}
        probabilities = every_head(part.images)
        for head in self._heads:
            loss, accuracy = loss_and_accuracy(probabilities[head], part.labels, model.output)
            prefix = column_prefix(head)
            row |= {f"{prefix}validation_loss": loss, f"{prefix}validation_accuracy": accuracy}
        return row

    def _is_best(self, row: dict[str, float]) -> bool:
        """Whether this epoch's weights replace the kept ones."""
        keep, kept = self.experiment.training.keep, self.progress.kept_epoch
        if not all(math.isfinite(value) for value in row.values()):
            return False
        if keep == "last" or kept is None:
            return True
        best = self.progress.history[kept - 1][keep]
        return row[keep] > best if keep == "validation_accuracy" else row[keep] < best
