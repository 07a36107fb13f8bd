"""``python -m kerascw lr-find``: the learning-rate range test of a study's model."""

from pathlib import Path
from typing import Any

import click

from kerascw.commands.options import (
    SEED,
    Finite,
    data_option,
    dataset_options,
    runs_option,
    settings_option,
)
from kerascw.errors import CallError, choices, counted

ROWS = 12
"""Rates that the terminal shows."""


@click.command("lr-find")
@click.argument("study", metavar="STUDY|FILE.py")
@click.option("--variant", help="A variant of the study.  [default: its first]")
@click.option("--lowest", type=Finite(0, min_open=True), default=1e-5)
@click.option("--highest", type=Finite(0, min_open=True), default=1.0)
@click.option("--steps", type=click.IntRange(min=20), default=200)
@click.option("--seed", type=SEED, default=0)
@settings_option
@data_option
@dataset_options
@runs_option
def command(
    study: str,
    variant: str | None,
    lowest: float,
    highest: float,
    steps: int,
    seed: int,
    data: str | None,
    reading: dict[str, Any],
    data_dir: Path | None,
    runs: Path,
    **options: Any,
) -> None:
    """Train STUDY's model for some steps while the learning rate rises, and print the loss.

    Where the loss is lowest the rate is already too high; a tenth of it is a good first choice. The
    test trains once, from one seed, and keeps no run: it narrows what to try, and the validation
    figures of runs decide. The curve goes to RUNS/rate_tests/.
    """
    if lowest >= highest:
        raise CallError(f"--lowest {lowest:g}: must be less than --highest {highest:g}")
    from kerascw.console import console, next_step
    from kerascw.data.load import data_named, dataset_for, splits_for
    from kerascw.lab.plan import planned
    from kerascw.lab.sheet import sheet
    from kerascw.quiet import import_tensorflow
    from kerascw.report.figure_files import file_name, write_figures
    from kerascw.report.tables import Table, number, print_table
    from kerascw.runs.environment import have_threads
    from kerascw.runs.store import check_writable
    from kerascw.studies import study_named

    check_writable(runs, "--runs")
    plan = planned(
        study_named(study),
        seeds=1,
        seed=seed,
        data_dir=data_dir,
        data=None if data is None else data_named(data, **reading),
        **options,
    )
    chosen = variant or next(iter(plan.experiments))
    if chosen not in plan.experiments:
        raise CallError(f"--variant {chosen}: choose {choices(plan.experiments, chosen)}")
    experiment = plan.experiments[chosen][0]
    if experiment.start is not None:
        raise CallError(
            f"--variant {chosen}: it begins with another run's weights, and is not tested"
        )
    dataset, splits = dataset_for(experiment.data, data_dir), splits_for(experiment.data, data_dir)
    import_tensorflow()
    have_threads()
    from kerascw.training.rate_test import rate_test

    found = rate_test(experiment, splits, lowest, highest, steps)
    folder = runs / "rate_tests" / file_name(f"{plan.study.name}, {chosen}, seed {seed}")
    write_figures({"loss": _figure(found)}, folder)
    rows = zip(found.rates, found.losses, found.smoothed, strict=True)
    text = sheet([("learning_rate", "loss", "smoothed_loss"), *rows])
    (folder / "loss.csv").write_text(text, encoding="utf-8")
    terminal = console()
    shown = range(0, len(found.rates), max(1, len(found.rates) // ROWS))
    table = Table(
        "rates",
        ("learning rate", "training loss, smoothed"),
        [(number(found.rates[at], ".2e"), number(found.smoothed[at])) for at in shown],
        text=(),
        caption=f"{plan.study.name}, {chosen}, on {dataset.title}: {counted(steps, 'step')} of "
        f"{experiment.training.batch_size} images at most, one seed ({seed})",
    )
    print_table(table, terminal)
    if len(found.rates) < steps:
        terminal.print(f"stopped at {found.rates[-1]:.2g}, where the loss left all bounds")
    terminal.print(f"curve: {folder / 'loss.png'}")
    own = f"the experiment has {experiment.training.optimizer.learning_rate:g}"
    if found.suggested is None:
        terminal.print(f"the loss falls nowhere: try other rates (--lowest, --highest); {own}")
        return
    terminal.print(
        f"the loss is lowest at {found.lowest:.2g}; a tenth of it, {found.suggested:.2g}, is a "
        f"good first choice; {own}"
    )
    next_step(terminal, "run", study, "--learning-rate", f"{found.suggested:.2g}", runs=runs)


def _figure(found: Any) -> tuple[Any, str]:
    from kerascw.report import charts

    lines = [
        charts.Line("each batch", found.rates, found.losses),
        charts.Line("smoothed", found.rates, found.smoothed),
    ]
    rules = () if found.suggested is None else (charts.Rule("x", found.suggested, "suggested"),)
    chart = charts.lines(lines, x="learning rate", y="training loss", log_x=True, rules=rules)
    return chart, "training loss against the learning rate, which rises from step to step"
