"""Hyperparameters of a search as axes of figures: ranges, scales, choices. No KerasTuner needed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Scale = Literal["linear", "log", "reverse_log"]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter: a range of numbers, or choices in their order.

    ``condition`` says when it is used, empty where it always is.
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

    @property
    def is_ordered(self) -> bool:
        """Whether more and less mean something: ranges, and choices among numbers."""
        return all(isinstance(c, int | float) and not isinstance(c, bool) for c in self.choices)

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


def axes_of(
    described: Sequence[Mapping[str, Any]], seen: Sequence[Mapping[str, Any]]
) -> tuple[Axis, ...]:
    """Return an axis for every hyperparameter that can differ between trials.

    Parameters
    ----------
    described : the hyperparameters as KerasTuner describes them (name, kind, min_value, ...); one
        name may come several times, under different conditions.
    seen : every trial's hyperparameters. What is not described has the range of what was seen, and
        a value outside of what is described widens it.
    """
    axes: dict[str, Axis] = {}
    for hyperparameter in described:
        axis = _described(hyperparameter)
        if axis is not None and not _internal(axis.name):
            axes[axis.name] = _both(axes[axis.name], axis) if axis.name in axes else axis
    fixed = {h["name"] for h in described if h["kind"] == "Fixed"} - set(axes)
    for name in dict.fromkeys(name for values in seen for name in values):
        if name in fixed or _internal(name):
            continue
        present = _seen([values[name] for values in seen if name in values], name)
        axes[name] = _both(axes[name], present) if name in axes else present
    return tuple(axes.values())


def value_text(value: Any) -> str:
    """Return a hyperparameter's value as people read it: four digits, no exponent where short.

    >>> value_text(0.07861810339506409), value_text(3), value_text(True), value_text("adam")
    ('0.07862', '3', 'yes', 'adam')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _internal(name: str) -> bool:
    """Return whether it is Hyperband's own book-keeping."""
    return name.startswith("tuner/")


def _described(hyperparameter: Mapping[str, Any]) -> Axis | None:
    name, default = hyperparameter["name"], hyperparameter.get("default")
    condition = _condition(hyperparameter.get("conditions") or ())
    match hyperparameter["kind"]:
        case "Float" | "Int":
            low, high = hyperparameter["min_value"], hyperparameter["max_value"]
            return Axis(
                name,
                low,
                high,
                hyperparameter.get("sampling") or "linear",
                default=low if default is None else default,
                condition=condition,
            )
        case "Boolean":
            return Axis(name, choices=(False, True), default=bool(default), condition=condition)
        case "Choice":
            choices = tuple(hyperparameter["values"])
            default = choices[0] if default is None else default
            return Axis(name, choices=choices, default=default, condition=condition)
        case _:
            return None  # Fixed: the same in every trial


def _seen(values: list[Any], name: str) -> Axis:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return Axis(name, min(values), max(values), default=min(values))
    if all(isinstance(v, bool) for v in values):
        return Axis(name, choices=(False, True), default=False)
    return Axis(name, choices=tuple(dict.fromkeys(values)), default=values[0])


def _both(one: Axis, other: Axis) -> Axis:
    """Return the first axis, widened so that the other's values have a place on it."""
    condition = one.condition if one.condition == other.condition or not other.condition else ""
    condition = condition or (one.condition and other.condition and "in some trials")
    if one.is_choice:
        further = other.choices or tuple(v for v in (other.low, other.high) if v not in one.choices)
        choices = (*one.choices, *(c for c in further if c not in one.choices))
        return replace(one, choices=choices, condition=condition)
    if other.is_choice:
        return replace(other, choices=(*other.choices, one.low, one.high), condition=condition)
    return replace(
        one, low=min(one.low, other.low), high=max(one.high, other.high), condition=condition
    )


def _condition(conditions: Iterable[Mapping[str, Any]]) -> str:
    parts = []
    for condition in conditions:
        config = condition.get("config", condition)
        if "name" in config and "values" in config:
            allowed = " or ".join(value_text(value) for value in config["values"])
            parts.append(f"{config['name']} is {allowed}")
    return f"where {' and '.join(parts)}" if parts else ""
