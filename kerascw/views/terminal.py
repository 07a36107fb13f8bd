"""What a terminal shows: progress while training, tables of what is kept."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from kerascw.engine.store import Run, Store
from kerascw.spec import Experiment


class _Rate(ProgressColumn):
    """Images per second of this sitting."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "", style="cyan")


class TrainingProgress:
    """A bar with rate and time left, and a line for every epoch; lines alone where piped."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._images = self._epochs = 0
        self._since = time.monotonic()

    def started(self, experiment: Experiment, images: int, epochs_done: int) -> None:
        """Show what begins, and the bar."""
        self.stop()
        self._images, self._epochs = images, experiment.training.epochs
        going_on = f", going on after epoch {epochs_done}" if epochs_done else ""
        self._console.print(
            f"Training {experiment.data.name} {experiment.model.kind}, seed {experiment.seed}: "
            f"{images:,} images, {self._epochs} epochs{going_on}",
            highlight=False,
        )
        self._since = time.monotonic()
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("epoch {task.fields[epoch]}/" + str(self._epochs)),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                _Rate(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                speed_estimate_period=30,
                transient=True,
            )
            self._task = self._progress.add_task(
                "", total=images * self._epochs, completed=images * epochs_done,
                epoch=min(epochs_done + 1, self._epochs),
            )  # fmt: skip
            self._progress.start()

    def images(self, epoch: int, done: int) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=epoch * self._images + done, epoch=epoch + 1
            )

    def epoch(self, row: dict[str, float]) -> None:
        """Print the epoch's line."""
        number, now = int(row["epoch"]), time.monotonic()
        seconds, self._since = now - self._since, now
        validation = ""
        if "validation_loss" in row:
            validation = (
                f"   validation loss {row['validation_loss']:.4f} "
                f"accuracy {row['validation_accuracy']:.4f}"
            )
        self._console.print(
            f"epoch {number:>{len(str(self._epochs))}}/{self._epochs}   "
            f"train loss {row['train_loss']:.4f} accuracy {row['train_accuracy']:.4f}"
            f"{validation}   {seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
        if number == self._epochs:
            self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def show_run(run: Run, console: Console) -> None:
    """Print a run: what it was, its figures, its classes, where its files are."""
    from kerascw.views.report import cautions

    metrics, experiment, data = run.metrics, run.experiment, run.environment["data"]
    console.print(f"[bold]{run.name}[/bold]  {data['title']}, seed {experiment.seed}")
    for caution in cautions(run):
        console.print(f"[bold yellow]{caution}[/bold yellow]")
    kept = f", epoch {metrics['kept_epoch']} kept" if metrics["kept_epoch"] else ""
    console.print(
        f"{metrics['parameters']:,} parameters, {metrics['epochs_trained']} epochs "
        f"({metrics['ended']}{kept}), {run.environment['training_seconds']:.0f} s",
        highlight=False,
    )
    parts = Table("part", box=None, pad_edge=False)
    for column in ("examples", "loss", "accuracy", "error"):
        parts.add_column(column, justify="right")
    for name in ("train", "validation", "test"):
        if name in metrics:
            part = metrics[name]
            parts.add_row(
                name,
                f"{part['examples']:,}",
                f"{part['loss']:.4f}",
                f"{part['accuracy']:.4f}",
                f"{part['error']:.4f}",
            )
    console.print(parts)
    if "test" in metrics:
        test = metrics["test"]
        low, high = test["accuracy_interval_95"]
        console.print(
            f"test accuracy {test['accuracy']:.4f}, 95 % Wilson interval {low:.4f} to {high:.4f}; "
            f"calibration error {test['calibration_error']:.4f}; test set scored once",
            highlight=False,
        )
        classes = Table("class", box=None, pad_edge=False)
        for column in ("precision", "recall", "F1", "examples"):
            classes.add_column(column, justify="right")
        for row in test["per_class"]:
            classes.add_row(
                row["class"],
                *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")),
                f"{row['examples']:,}",
            )
        console.print(classes)
        pairs = ", ".join(
            f"{pair['truth']} taken for {pair['prediction']} ({pair['count']})"
            for pair in test["most_confused"][:5]
        )
        console.print(f"most confused: {pairs}", highlight=False, soft_wrap=True)
    console.print(f"files: {run.folder}", highlight=False, soft_wrap=True)


def show_seeds(runs: Mapping[str, Sequence[Run]], console: Console) -> None:
    """Print test accuracies over seeds: each, the mean, the spread, the 95 % t-interval."""
    from kerascw.evaluation.statistics import over_seeds

    table = Table("", "test accuracy of each seed", box=None, pad_edge=False)
    for column in ("mean", "deviation", "95 % t-interval"):
        table.add_column(column, justify="right")
    for name, several in runs.items():
        values = [run.metrics["test"]["accuracy"] for run in several if "test" in run.metrics]
        if not values:
            table.add_row(name, "none: every run diverged", "", "", "")
            continue
        spread = over_seeds(values)
        single = spread.interval is None
        table.add_row(
            name,
            ", ".join(f"{value:.4f}" for value in values),
            f"{spread.mean:.4f}",
            "" if single else f"{spread.deviation:.4f}",
            "" if spread.interval is None else "{:.4f} to {:.4f}".format(*spread.interval),
        )
    console.print(table)


def list_runs(store: Store, console: Console) -> None:
    """Print a line for every run that is kept, the newest last."""
    runs = store.all()
    if not runs:
        console.print(f"No runs are kept in {store.folder}. Next: python -m kerascw run fashion")
        return
    table = Table("run", "data", box=None, pad_edge=False)
    for column in ("seed", "epochs", "validation", "test"):
        table.add_column(column, justify="right")
    for run in runs:
        figures = [
            f"{run.metrics[part]['accuracy']:.4f}" if part in run.metrics else "-"
            for part in ("validation", "test")
        ]
        table.add_row(
            run.name,
            run.environment["data"]["title"],
            str(run.experiment.seed),
            str(run.metrics["epochs_trained"]),
            *figures,
        )
    console.print(table)
