"""``python -m kerascw power``: what a study's seeds can show, and how many more would be needed."""

from pathlib import Path

import click

from kerascw.commands.options import Finite, runs_option


@click.command()
@click.argument("study")
@click.option(
    "--difference",
    type=Finite(0, 1, min_open=True),
    default=0.002,
    help="The difference in test accuracy that is to be found, between 0 and 1.",
)
@runs_option
def command(study: str, difference: float, runs: Path) -> None:
    """Say for every comparison of a kept STUDY how many seeds a difference needs.

    The power is 80 %: the chance that a paired t-test over the seeds finds, at 5 %, a true
    difference of this size in the accuracy on the study's own test images.
    STUDY is its name, or its folder's name in runs/studies/.
    """
    from kerascw.console import console
    from kerascw.lab.certainty import check_comparable
    from kerascw.report.tables import Table, print_table
    from kerascw.runs.store import Store
    from kerascw.studies import recall

    rows = []
    for each in check_comparable(recall(study, Store(runs))):
        needed = each.seeds(difference)
        rows.append(
            (
                f"{each.variant} minus {each.baseline}",
                f"{each.difference.mean:+.4f}",
                f"{each.adjusted:.3f}",
                f"{each.sign_flip:.3f}",
                f"{each.deviation:.4f}",
                f"{each.correlation:.2f}",
                f"{each.difference.seeds}",
                f"{each.smallest:.4f}" if each.smallest < 1 else "none",
                "over 10,000" if needed is None else f"{needed:,}",
            )
        )
    columns = (
        "comparison", "difference", "p, Holm", "p, sign flip", "deviation", "correlation",
        "seeds", "smallest found", f"seeds for {difference:g}",
    )  # fmt: skip
    caption = (
        "Test accuracy, paired by seed. p, Holm: over seeds and test images, adjusted for all "
        "comparisons; deviation and correlation: over seeds; smallest found, and seeds: on these "
        "test images, power 80 %."
    )
    print_table(Table("power", columns, rows, text=(0,), caption=caption), console())
