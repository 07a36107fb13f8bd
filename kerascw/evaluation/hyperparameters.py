"""Hyperparameters of a search as axes of figures: scales and choices. No KerasTuner needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Axis:
    """One hyperparameter: numbers, or choices in their order.

    ``condition`` tells when it is used, empty where it always is.
    """

    name: str
    is_log: bool = False  # whether the search draws it from a logarithmic scale
    choices: tuple[Any, ...] = ()  # empty: it is a number
    condition: str = ""


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
    name, condition = hp["name"], _condition(hp.get("conditions") or ())
    if hp["kind"] in ("Float", "Int"):
        return Axis(name, hp.get("sampling") == "log", (), condition)
    choices = (False, True) if hp["kind"] == "Boolean" else tuple(hp["values"])
    return Axis(name, choices=choices, condition=condition)


def _joined(one: Axis, other: Axis) -> Axis:
    """Return the first axis, with the other's choices."""
    condition = one.condition
    if other.condition and other.condition != condition:
        condition = condition and "in some trials"
    choices = tuple(dict.fromkeys((*one.choices, *other.choices)))
    return replace(one, choices=choices, condition=condition)


def _condition(conditions: Iterable[Mapping[str, Any]]) -> str:
    parts = [
        f"{c['name']} is {' or '.join(value_text(value) for value in c['values'])}"
        for c in conditions
    ]
    return f"where {' and '.join(parts)}" if parts else ""
