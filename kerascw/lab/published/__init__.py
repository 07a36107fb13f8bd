"""What the reports printed, as data: one TOML file a report, and how to correct it."""

import tomllib
from dataclasses import dataclass
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


@cache
def report(name: str) -> dict[str, Any]:
    """Return a report's facts.

    >>> report("convnet_lab")["dense_only"]["test_accuracy"]
    0.978
    """
    text = files("kerascw.lab.published").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def of_bag(part: str, split: str, figure: str, reported: float, digits: int = 4) -> Published:
    """Return a figure of "Convolutional Bag", its accuracies divided by their ceiling."""
    facts = report("convolutional_bag")
    where = f"{facts['title']}, {part}"
    if figure != "accuracy":
        return Published(reported, where, digits=digits)
    ceilings = facts["ceiling"]
    perfect = ", ".join(f"{ceiling} on {part}" for part, ceiling in ceilings.items())
    why = (
        "each batch's hits were divided by the nominal batch size, the last, smaller batch "
        f"included, so that a perfect score printed as {perfect}"
    )
    return Published(reported, where, min(1.0, reported / ceilings[split]), why, digits)
