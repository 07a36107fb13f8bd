"""What the reports printed, as data: one TOML file a report, and how to correct it."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Published:
    """One figure of a report: as printed, and as we read it where its own arithmetic is off."""

    reported: float
    where: str  # title and part
    corrected: float | None = None
    why: str = ""  # the correction's reason
    digits: int = 4  # decimals printed
    not_comparable: str = ""  # why ours cannot be set beside it, where that is so
    mean_of: int = 1  # how many runs it is the mean of

    @property
    def best_reading(self) -> float:
        """The corrected figure where there is one, else the reported one."""
        return self.reported if self.corrected is None else self.corrected


Figures = dict[str, dict[str, Published]]
"""Published figures by variant and name."""


@cache
def report(name: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return a report's facts; ``number`` reads a number with a point.

    >>> report("convnet_lab")["fashion"]["final_epochs"]
    15
    """
    text = files("kerascw.lab.published").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=number)


def figures_of(name: str, study: str) -> Figures:
    """Return a study's figures in a report."""
    facts, found = report(name, str), Figures()
    for table in facts["figures"]:
        if table["study"] != study:
            continue
        where = f"{facts['title']}, {table['where']}"
        fields = {f: table[f] for f in ("not_comparable", "mean_of") if f in table}
        for variant, row in table["rows"].items():
            figures = found.setdefault(variant, {})
            for figure, printed in zip(table["names"], row, strict=True):
                if printed:
                    digits = len(printed.partition(".")[2])
                    one = Published(float(printed), where, digits=digits, **fields)
                    figures[figure] = of_bag(one, figure) if table.get("ceiling") else one
    return found


def of_bag(printed: Published, figure: str) -> Published:
    """Return a figure of "Convolutional Bag", an accuracy divided by its split's ceiling."""
    ceilings = report("convolutional_bag")["ceiling"]
    if not figure.endswith("accuracy"):
        return printed
    perfect = ", ".join(f"{ceiling} on {split}" for split, ceiling in ceilings.items())
    why = (
        "each batch's hits were divided by the nominal batch size, the last, smaller batch "
        f"included, so that a perfect score printed as {perfect}"
    )
    ceiling = next(ceiling for split, ceiling in ceilings.items() if split in figure)
    return replace(printed, corrected=min(1.0, printed.reported / ceiling), why=why)
