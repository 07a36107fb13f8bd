"""Seconds of training to the published accuracy: each report's own recipe against a fast one.

    python benchmarks/time_to_accuracy.py [--tasks digits,mnist] [--seeds 3] [--data-dir DIR]

For every task and seed the report's recipe, as kerascw trains it, and the fast recipe are trained
in turn (A B A B ...), on the same pictures, each to its end; the test set is scored once, there.
Seconds are of training and validation, as the run notes them, the tracing of the graphs included.
What is kept in ``--runs`` is not trained again, so that a stopped benchmark goes on; whatever else
the machine does meets both recipes of a seed, and the ratio of their times is taken seed by seed.

A recipe reaches the published figure if its mean over the seeds does. The table, a picture and the
figures go to ``benchmarks/results/time_to_accuracy`` (.md, .png, .json).
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from kerascw.console import console
from kerascw.data import Dataset
from kerascw.data.load import dataset_for
from kerascw.data.sources import NotFoundError
from kerascw.errors import CallError, choices
from kerascw.experiment.recipes import recipe_named
from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.lab.published import Published
from kerascw.lab.verdict import figure_of
from kerascw.quiet import import_tensorflow
from kerascw.runs.environment import commit, processor
from kerascw.runs.run import run_experiment
from kerascw.runs.store import Run, Store
from kerascw.studies import study_named
from kerascw.training.devices import cores

RESULTS = Path(__file__).parent / "results"
NAME = "time_to_accuracy"
KINDS = ("report", "fast")
GOAL = 0.25
"""The share of the report's recipe's time that the fast one may take."""


@dataclass(frozen=True)
class Task:
    """A published test figure, the experiment that it is of, and the recipe that is to beat it."""

    title: str
    recipe: str
    study: str
    variant: str
    published_as: str  # the study's name of what was published, where it is another variant's
    figure: str = "test.accuracy"
    on_everything: bool = False  # no part held out
    changes: tuple[tuple[str, Any], ...] = ()  # to the fast recipe, as --set has them

    @property
    def published(self) -> Published:
        """What the report printed, corrected where its arithmetic was off."""
        return study_named(self.study).published()[self.published_as][self.figure]

    def experiment(self, kind: str, seed: int, most_epochs: int | None = None) -> Experiment:
        """Return the report's experiment, or the same data by the fast recipe."""
        own = study_named(self.study).experiments("full")[self.variant]
        tree = own.model_dump(mode="python") | {"seed": seed}
        if self.on_everything:
            tree["data"]["holdout"] = None
            tree["training"] |= {"keep": "last", "patience": None}
        own = Experiment.model_validate(tree)
        if kind == "fast":
            own = override(recipe_named(self.recipe).of(own), dict(self.changes))
        epochs = min(most_epochs or own.training.epochs, own.training.epochs)
        return override(own, {"training.epochs": epochs})

    def reached(self, figure: float) -> bool:
        """Return whether a figure is the published one or better, to the decimals printed."""
        printed, digits = self.published.best_reading, self.published.digits
        rounded = round(figure, digits)
        if self.figure.endswith("error"):
            return rounded <= round(printed, digits)
        return rounded >= round(printed, digits)


TASKS = {
    "lenet": Task(
        "Fashion-MNIST, LeNet variant 4 on all 60,000, 15 epochs",
        *("fast", "lenet-variants", "variant_4", "variant_4, retrained"),
        on_everything=True,
    ),
    "fashion": Task(
        "Fashion-MNIST, convnet lab test 9.1, 20 epochs",
        *("fastest", "fashion-variants", "test 9.1", "test 9.1"),
    ),
    "mnist": Task(
        "MNIST, convnet lab test 1, 5 epochs",
        *("fastest", "mnist-convnet", "convnet (test 1)", "convnet (test 1)"),
        changes=(("training.epochs", 1),),
    ),
    "bag": Task(
        "Fashion-MNIST-1 (5 classes), bag part 1, 31 epochs",
        *("fastest", "bag-cnn", "bag-cnn", "bag-cnn"),
    ),
    "digits": Task(
        "scikit-learn's digits, convnet, patience 20",
        *("fastest", "digits", "convnet", "convnet"),
        figure="test.error",
        # pictures of 8 x 8, 1,000 of them: one pooling is enough, and two layers are traced sooner
        changes=(
            ("model.pool_after", (2,)),
            ("model.filters", (32, 64)),
            ("training.epochs", 5),  # on validation as good as 8 over three seeds
            ("training.augmentation", "shift:1"),
        ),
    ),
}
"""In the order of the table."""


def train(
    tasks: list[str],
    seeds: int,
    store: Store,
    data_dir: Path | None,
    most_epochs: int | None,
    say: Callable[[str], None],
) -> dict[str, dict[str, list[Run]]]:
    """Return the runs of every task and kind, one a seed, training what is not kept, in turn."""
    runs: dict[str, dict[str, list[Run]]] = {}
    for seed in range(seeds):
        for name in tasks:
            for kind in KINDS:
                experiment = TASKS[name].experiment(kind, seed, most_epochs)
                try:
                    dataset = _dataset(experiment, data_dir)
                except NotFoundError as error:
                    say(f"{name}: left out, its data are not here ({error})")
                    break
                run = run_experiment(experiment, dataset, store)
                runs.setdefault(name, {k: [] for k in KINDS})[kind].append(run)
                seconds, figure = _seconds(run), figure_of(run, TASKS[name].figure)
                say(f"{name:<8} seed {seed}  {kind:<7} {seconds:7.1f} s   {figure:.4f}")
    return runs


def _dataset(experiment: Experiment, data_dir: Path | None) -> Dataset:
    """Return the dataset from ``data_dir``, or from elsewhere where that has only other ones."""
    if data_dir is not None:
        try:
            return dataset_for(experiment.data, data_dir)
        except NotFoundError:
            pass
    return dataset_for(experiment.data, None)


def _seconds(run: Run) -> float:
    seconds: float = run.environment["training_seconds"]
    return seconds


def summary(runs: dict[str, dict[str, list[Run]]]) -> dict[str, Any]:
    """Return all figures of the table, as JSON has them."""
    tasks = {}
    for name, kinds in runs.items():
        task = TASKS[name]
        row: dict[str, Any] = {
            "title": task.title,
            "figure": task.figure,
            "published": round(task.published.best_reading, task.published.digits),
            "recipe": task.recipe,
            "changes": dict(task.changes),
        }
        for kind, several in kinds.items():
            figures = [figure_of(run, task.figure) for run in several]
            assert all(figure is not None for figure in figures), "none diverged"
            mean = statistics.fmean(figures)
            row[kind] = {
                "figures": figures,
                "mean": mean,
                "reached": task.reached(mean),
                "seconds": [_seconds(run) for run in several],
                "epochs": [run.metrics["epochs_trained"] for run in several],
                "parameters": several[0].metrics["parameters"],
            }
        ratios = [
            fast / own for own, fast in zip(*(row[kind]["seconds"] for kind in KINDS), strict=True)
        ]
        row["ratio"] = {"median": statistics.median(ratios), "seeds": ratios}
        row["goal_met"] = row["fast"]["reached"] and row["ratio"]["median"] <= GOAL
        tasks[name] = row
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": cores(),
        "commit": commit(),
        "goal": "the published figure in a quarter of the time of the report's recipe",
        "tasks": tasks,
    }


def table(content: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    lines = [
        f"{content['processor']}, {content['cores']} cores, {content['date']}. "
        f"Goal: {content['goal']}. Means over the seeds; of the ratio the median, and its range.",
        "",
        "| task | published | report's recipe | | fast recipe | | reached | time, fast/report's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["tasks"].values():
        cells = [row["title"], f"{row['figure'].removeprefix('test.')} {row['published']:.4f}"]
        for kind in KINDS:
            own = row[kind]
            low, high = min(own["figures"]), max(own["figures"])
            cells += [f"{own['mean']:.4f} ({low:.4f} to {high:.4f})",
                      f"{statistics.fmean(own['seconds']):.1f} s"]  # fmt: skip
        low, high = min(row["ratio"]["seeds"]), max(row["ratio"]["seeds"])
        cells += ["yes" if row["fast"]["reached"] else "no",
                  f"{row['ratio']['median']:.2f} ({low:.2f} to {high:.2f})"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(content: dict[str, Any], path: Path) -> None:
    """Draw the seconds of every run, and the mean test figure beside them."""
    from matplotlib.figure import Figure

    rows = list(content["tasks"].values())
    figure = Figure(figsize=(9, 0.9 + 0.95 * len(rows)), layout="constrained")
    axes = figure.subplots()
    styles = {"report": ("#0072B2", "o", "the report's recipe"), "fast": ("#D55E00", "s", "fast")}
    for at, row in enumerate(rows):
        for kind, (colour, marker, label) in styles.items():
            own, y = row[kind], at + (-0.14 if kind == "report" else 0.14)
            mean = statistics.fmean(own["seconds"])
            axes.plot(own["seconds"], [y] * len(own["seconds"]), marker, color=colour, alpha=0.75,
                      label=label if at == 0 else None)  # fmt: skip
            reached = "" if own["reached"] else " (below)"
            if row["figure"].endswith("error") and not own["reached"]:
                reached = " (above)"
            axes.annotate(
                f"{own['mean']:.4f}{reached}",
                (max(own["seconds"]), y),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the dashes
            )
            if kind == "report":
                goal = GOAL * mean
                axes.plot([goal, goal], [at - 0.32, at + 0.32], color="#555555", lw=1.2, ls="--",
                          label="a quarter of the report's" if at == 0 else None)  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 2.2)
    ticks = [n * 10**power for power in range(5) for n in (1, 2, 5)]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high * 2.2])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [
        f"{row['title'].replace(', ', chr(10), 1)}\n"
        f"published {row['figure'].removeprefix('test.')} {row['published']:.4f}"
        for row in rows
    ], fontsize=8)  # fmt: skip
    axes.set_xlabel("seconds of training, one point a seed; beside them the mean test figure")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", default=",".join(TASKS), help=choices(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="at most so many: to try this script")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs") / NAME)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    tasks = options.tasks.split(",")
    try:
        for name in tasks:
            if name not in TASKS:
                raise CallError(f"--tasks: {name!r} is none; choose {choices(TASKS)}")
        for name in ("seeds", "epochs"):
            if (value := getattr(options, name)) is not None and value < 1:
                raise CallError(f"--{name}: {value} is less than 1")
    except CallError as error:
        parser.error(str(error))
    terminal = console()
    terminal.print(f"{processor()}, {cores()} cores")
    import_tensorflow()
    store = Store(options.runs)
    runs = train(tasks, options.seeds, store, options.data_dir, options.epochs, terminal.print)
    if not runs:
        parser.error("no task's data are here; see --data-dir")
    content = summary(runs) | ({"cut_to_epochs": options.epochs} if options.epochs else {})
    options.results.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(content, indent=2) + "\n"), (".md", table(content))):
        (options.results / f"{NAME}{suffix}").write_text(text)
    draw(content, options.results / f"{NAME}.png")
    terminal.print(table(content), highlight=False, soft_wrap=True, markup=False)
    for name, row in content["tasks"].items():
        if not row["goal_met"]:
            terminal.print(f"{name}: the goal is not met", style="yellow")


if __name__ == "__main__":
    main()
