"""Hyperparameters of a search as axes of figures: ranges, scales, choices. No KerasTuner needed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Scale = Literal["linear", "log", "reverse_log"]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter: a range of numbers, or choices in their order.

    ``condition`` tells when it is used, empty where it always is.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    scale: Scale = "linear"
    choices: tuple[Any, ...] = ()  # empty: it is a range
    default: Any = None
    condition: str = ""

    @property
    def is_choice(self) -> bool:
        return bool(self.choices)

    def position(self, value: Any) -> float:
        """Return where the value lies, 0 to 1, on the scale that the search draws from.

        >>> Axis("rate", 1e-4, 1e-2, "log").position(1e-3)
        0.5
        >>> Axis("optimizer", choices=("adam", "sgd")).position("sgd")
        0.75
        """
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        if self.high == self.low:
            return 0.5
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        if self.scale == "reverse_log":  # as KerasTuner has it: fine near the upper end
            mirrored = (self.high + self.low - value) / self.low
            return 1 - math.log(mirrored) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)


def axes_of(described: Iterable[Mapping[str, Any]]) -> tuple[Axis, ...]:
    """Return an axis for every hyperparameter that can differ between trials.

    ``described`` are the hyperparameters as KerasTuner describes them (name, kind, min_value, ...);
    one name may come more than once, under different conditions.
    """
    axes: dict[str, Axis] = {}
    for axis in (_described(hp) for hp in described if hp["kind"] != "Fixed"):
        axes[axis.name] = _joined(axes[axis.name], axis) if axis.name in axes else axis
    return tuple(axes.values())


def value_text(value: Any) -> str:
    """Return a hyperparameter's value for readers: four digits, no exponent where it is short.

    >>> value_text(0.07861810339506409), value_text(3), value_text(True), value_text("adam")
    ('0.07862', '3', 'yes', 'adam')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _described(hp: Mapping[str, Any]) -> Axis:
    name, default = hp["name"], hp.get("default")
    conditions = [
        f"{each['name']} is {' or '.join(map(value_text, each['values']))}"
        for each in hp.get("conditions") or ()
    ]
    condition = f"where {' and '.join(conditions)}" if conditions else ""
    if hp["kind"] in ("Float", "Int"):
        low, high = hp["min_value"], hp["max_value"]
        default = low if default is None else default
        return Axis(name, low, high, hp.get("sampling") or "linear", (), default, condition)
    choices = (False, True) if hp["kind"] == "Boolean" else tuple(hp["values"])
    default = choices[0] if default is None else default
    return Axis(name, choices=choices, default=default, condition=condition)


def _joined(one: Axis, other: Axis) -> Axis:
    """Return the first axis, widened so that the other's values have a place on it."""
    condition = one.condition
    if condition != other.condition:  # used always, if either is
        condition = "in some trials" if condition and other.condition else ""
    if one.is_choice or other.is_choice:
        values = [v for axis in (one, other) for v in (axis.choices or (axis.low, axis.high))]
        return replace(one, choices=tuple(dict.fromkeys(values)), condition=condition)
    low, high = min(one.low, other.low), max(one.high, other.high)
    return replace(one, low=low, high=high, condition=condition)
