"""What a terminal shows: progress while training, tables of kept runs and studies."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from kerascw.errors import counted
from kerascw.evaluation.statistics import FEWEST
from kerascw.experiment.spec import Experiment
from kerascw.lab import table
from kerascw.lab.certainty import certainty_answers
from kerascw.lab.plan import StudyResult
from kerascw.lab.repeats import repeat_text
from kerascw.report.tables import Table, count, number, print_table
from kerascw.runs.many import StudyWatcher
from kerascw.runs.store import Run
from kerascw.runs.verify import badge_of

LINE_SECONDS = 10
"""Where there is no bar, a line comes at least this often, while steps go on."""


class StudyProgress(StudyWatcher):
    """A bar with the time left, and a line for every epoch or run; lines alone where piped."""

    def __init__(self, console: Console, *, sample: bool = False) -> None:
        self._console, self._sample = console, sample
        self._bar = self._new_bar()
        self._images = self._epochs = 0  # of a single run
        self._total = self._done = self._jobs = 0  # of several

    def _new_bar(self, text: str = "", **task: Any) -> Progress:
        bar = Progress(
            TextColumn(text), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console, speed_estimate_period=600, transient=True,
            disable=not self._console.is_terminal,
        )  # fmt: skip
        if task:
            bar.add_task("", **task)
            bar.start()
        return bar

    def _move_bar(self, **task: Any) -> None:
        for task_id in self._bar.task_ids:
            self._bar.update(task_id, **task)

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def started(self, experiment: Experiment, images: int, epochs_done: int) -> None:
        """Show what begins, and the bar."""
        self.stop()
        self._images, self._epochs = images, experiment.training.epochs
        going_on = f", going on after epoch {epochs_done}" if epochs_done else ""
        self._console.print(
            f"Training {experiment.data.name} {experiment.model.kind}, "
            f"{repeat_text(experiment)}: "
            f"{counted(images, 'image')}, {counted(self._epochs, 'epoch')}{going_on}",
        )
        self._since = self._last_line = time.monotonic()
        tracing = "tracing the training step"  # for some seconds, before the first images
        if not self._console.is_terminal:
            self._console.print(tracing)
        self._bar = self._new_bar(
            "{task.fields[place]} {task.percentage:>3.0f} %",
            total=images * self._epochs,
            completed=images * epochs_done,
            place=tracing,
        )

    def images(self, epoch: int, done: int) -> None:
        """Move the bar; without one, print how far the epoch is."""
        place, now = f"epoch {epoch + 1}/{self._epochs}", time.monotonic()
        self._move_bar(completed=epoch * self._images + done, place=place)
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._console.print(f"{place}: {done:,} of {counted(self._images, 'image')}")

    def epoch(self, row: dict[str, float]) -> None:
        """Print the epoch's line."""
        number, now = int(row["epoch"]), time.monotonic()
        seconds, self._since = now - self._since, now
        self._last_line = now
        digits = 4 if "train_accuracy" in row else 5  # an autoencoder's losses are small
        parts = [
            f"{part} "
            + " ".join(
                f"{name} {row[f'{part}_{name}']:.{digits}f}"
                for name in ("loss", "accuracy")  # an autoencoder has no accuracy
                if f"{part}_{name}" in row
            )
            for part in ("train", "validation")
            if f"{part}_loss" in row
        ]
        self._console.print(
            f"epoch {number:>{len(str(self._epochs))}}/{self._epochs}   "
            f"{'   '.join(parts)}   {seconds:.1f} s",
        )
        if number == self._epochs:
            self.stop()

    def planned(self, runs: int, kept: int, jobs: int) -> None:
        """Show how much there is to do."""
        self.stop()
        if self._sample:
            self._sample = False  # it is said once, where there are several rounds
            self._console.print("bundled sample, not the dataset", style="bold yellow reverse")
            self._console.print(
                "6,000 training and 1,000 test images: the figures do not compare with published "
                "ones.",
                style="yellow",
            )
        self._total, self._done, self._jobs = runs, kept, jobs
        missing = runs - kept
        if runs > 1:
            already = f", {kept} kept already" if kept else ""
            self._console.print(f"{runs} runs{already}, {missing} to train, {jobs} at a time")
        if missing > 1:
            text = "{task.completed}/{task.total} runs, {task.fields[running]} running"
            running = min(jobs, missing)
            self._bar = self._new_bar(text, total=runs, completed=kept, running=running)

    def finished(self, run: Run) -> None:
        """Print the run's line and move the bar."""
        self._done += 1
        metrics = run.metrics
        # a run that has weights and no test figures was trained on the test set
        split = "test" if "test" in metrics else "train"
        scores = metrics.get(split)
        if scores is None:
            figures = f"diverged, {metrics['reason']}"
        elif run.experiment.reconstructs:
            figures = f"{split} loss {scores['loss']:.5f}"
        else:
            figures = f"{split} accuracy {scores['accuracy']:.4f}"
        self._console.print(
            f"[{self._done}/{self._total}] {run.name} {repeat_text(run.experiment)}: "
            f"{counted(metrics['epochs_trained'], 'epoch')}, {figures}, "
            f"{run.environment['training_seconds']:.1f} s"
        )
        running = min(self._jobs, self._total - self._done)
        self._move_bar(completed=self._done, running=running)
        if self._done == self._total:
            self.stop()


def show_run(run: Run, console: Console) -> None:
    """Print a run: experiment, figures, classes, and where its files are."""
    from kerascw.report.run import cautions, run_tables

    metrics, experiment, data = run.metrics, run.experiment, run.environment["data"]
    console.print(f"{run.name}  {data['title']}, {repeat_text(experiment)}", style="bold")
    for caution in cautions(run):
        console.print(caution, style="bold yellow")
    kept = f", epoch {metrics['kept_epoch']} kept" if metrics["kept_epoch"] else ""
    console.print(
        f"{metrics['parameters']:,} parameters, {counted(metrics['epochs_trained'], 'epoch')} "
        f"({metrics['ended']}{kept}), {run.environment['training_seconds']:.0f} s; {badge_of(run)}",
    )
    form = ".5f" if experiment.reconstructs else ".4f"
    figures = ["loss"] if experiment.reconstructs else ["loss", "accuracy", "error"]
    rows = [
        (split, count(scores["examples"]), *(number(scores[figure], form) for figure in figures))
        for split in ("train", "validation", "test")
        if (scores := metrics.get(split))
    ]
    print_table(Table("splits", ("split", "images", *figures), rows), console)
    tables, test = run_tables(run), metrics.get("test")
    if tables["layers"].rows:
        print_table(tables["layers"], console)
    if test and experiment.reconstructs:
        console.print("The loss is the mean squared error per pixel; test set scored once.")
    elif test:
        low, high = test["accuracy_interval_95"]
        console.print(
            f"test accuracy {test['accuracy']:.4f}, 95 % Wilson interval {low:.4f} to {high:.4f}; "
            f"calibration error {test['calibration_error']:.4f}; test set scored once",
        )
    for name in ("heads", "classes"):
        if name in tables:
            print_table(tables[name], console)
    if test and not experiment.reconstructs:
        pairs = ", ".join(
            f"{pair['truth']} taken for {pair['prediction']} ({pair['count']})"
            for pair in test["most_confused"][:5]
        )
        if pairs:
            console.print(f"most confused: {pairs}")
    console.print(f"files: {run.folder}")


def show_study(result: StudyResult, console: Console) -> None:
    """Print a study's answers and its table."""
    from kerascw.report.study import fold_tables

    study = result.study
    console.print(study.question, style="bold")
    rows = table.rows_of(result)
    for caution in table.cautions(result, rows):
        console.print(caution, style="yellow")
    printed = table.any_published(rows)
    over = table.measured_over(rows)
    columns = ["variant", "figure", f"measured over {over}" if over else "measured"]
    columns += ["published", "verdict"] if printed else []
    columns += [f"difference to {study.baseline}"] if study.baseline else []
    lines: list[list[str]] = []
    for row in rows:
        for at, cell in enumerate(row.cells):
            line = [
                table.row_name(row, rows) if at == 0 else "",
                cell.name,
                table.spread_text(cell.spread),
            ]
            if printed:
                verdict = cell.verdict.word if cell.verdict else ""
                line += [table.published_text(cell.published), verdict]
            difference = table.difference_text(cell.difference, row.repeats.unit)
            lines.append([*line, *([difference] if study.baseline else [])])
        lines += [["", "diverged", reason] for reason in row.diverged]
    for name, reason in study.refused().items():
        lines.append([name, "cannot be fitted"])
        console.print(f"{name} cannot be fitted: {reason}")
    print_table(Table("study", tuple(columns), lines, text=(0, 1, 3, 4, 5)), console)
    for folds in fold_tables(result):
        print_table(folds, console)
    repeats = max((row.repeats for row in rows), key=lambda repeats: repeats.count)
    if repeats.count >= FEWEST:
        console.print(f"Means over {repeats}, with their 95 % CIs.")
    for note in table.notes(result):
        console.print(note, style="yellow")
    for answer in [*study.answers(result.runs), *certainty_answers(result)]:
        console.print(f"{answer.question} {answer.answer}")
