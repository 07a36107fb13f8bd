"""Change fields of an experiment by their dotted paths, as the command line has them."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kerascw.errors import CallError
from kerascw.experiment.spec import (
    AUGMENTATIONS,
    Experiment,
    ModelSpec,
    OptimizerSpec,
    ScheduleSpec,
    Spec,
    kinds_of,
)


def one_line(error: ValidationError, prefix: str = "") -> str:
    """Return pydantic's complaint as one line: field, what is wrong, value received."""
    first = error.errors()[0]
    # pydantic puts the discriminator's value into the path; the user never wrote it
    path = ".".join(str(part) for part in first["loc"] if part not in _KINDS)
    message = first["msg"].removeprefix("Value error, ")
    received = "" if first["type"] == "missing" else f" (received {first['input']!r:.80})"
    if first["type"] == "extra_forbidden":
        message, received = "no such field", ""
    if isinstance(first["input"], BaseModel | dict) or not path:
        received = ""
    return f"{prefix}{path}: {message}{received}" if path else f"{prefix}{message}"


_CHOICES: dict[str, tuple[type[Spec], ...]] = {
    "model": kinds_of(ModelSpec),
    "training.optimizer": kinds_of(OptimizerSpec),
    "training.schedule": kinds_of(ScheduleSpec),
    "training.augmentation": AUGMENTATIONS,
}
"""The kinds of each part that comes in several."""

_KINDS = {spec.model_fields["kind"].default for specs in _CHOICES.values() for spec in specs}


def _field_names(value: Any) -> str:
    return ", ".join(sorted(value))


def override(experiment: Experiment, settings: dict[str, Any]) -> Experiment:
    """Return the experiment with fields changed, each named by its dotted path.

    Values may be text as it comes from a command line: JSON where it parses, else a string. A
    changed ``kind`` starts that part afresh with its other fields' defaults, keeping those that
    both kinds have.

    Raises
    ------
    CallError
        A path that names no field, or a value of the wrong type or range.

    >>> from kerascw.studies import fashion
    >>> override(fashion.recipe(), {"training.epochs": "3"}).training.epochs
    3
    """
    tree = experiment.model_dump(mode="json")
    for path, raw in settings.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            if not isinstance(node, dict) or parent not in node:
                known = _field_names(node) if isinstance(node, dict) else "none"
                raise CallError(f"{path}: no such field; at {parent!r} the fields are {known}")
            node = node[parent]
        if not isinstance(node, dict) or name not in node:
            known = _field_names(node) if isinstance(node, dict) else "none"
            raise CallError(f"{path}: no such field; there the fields are {known}")
        value = _parse(raw)
        if name == "augmentation" and isinstance(raw, str) and raw.lstrip()[:1] not in "[{":
            value = _augmentation(raw)
        if name == "kind":
            tree = _with_kind(tree, parents, value)
        else:
            node[name] = value
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise CallError(one_line(error)) from None


def _augmentation(text: str) -> list[dict[str, Any]]:
    """Return what a shorthand such as ``flip:0.25,shift`` stands for."""
    from kerascw.experiment.augmentation_names import augmentation_named  # it imports this module

    return [spec.model_dump() for spec in augmentation_named(text)]


def _parse(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        if raw in ("none", "None"):
            return None
        if "," in raw:  # 32,64,64 is easier to type than [32,64,64]
            return [_parse(part.strip()) for part in raw.split(",")]
        return raw


def _with_kind(tree: dict[str, Any], parents: list[str], kind: Any) -> dict[str, Any]:
    """Return the tree with a part of another kind, its shared fields kept."""
    where = ".".join(parents)
    for spec in _CHOICES.get(where, ()):
        if spec.model_fields["kind"].default == kind:
            node = tree
            for parent in parents[:-1]:
                node = node[parent]
            old = node[parents[-1]]
            node[parents[-1]] = {
                name: old.get(name, None if field.is_required() else field.default)
                for name, field in spec.model_fields.items()
            } | {"kind": kind}
            return tree
    known = [spec.model_fields["kind"].default for spec in _CHOICES.get(where, ())]
    raise CallError(f"{where}.kind: {kind!r} is none of {', '.join(known)}")


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment from a JSON file: a kept run's experiment.json, or one written by hand.

    A warm start's source may be the path of another such file, from where this one lies.

    Raises
    ------
    CallError
        A file that cannot be read, a wrong field, or files that start from one another.
    """
    tree = _read_tree(Path(path), ())
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise CallError(one_line(error, f"{path}: ")) from None


def _read_tree(path: Path, from_files: tuple[Path, ...]) -> Any:
    resolved = path.resolve()
    if resolved in from_files:
        circle = " starts from ".join(p.name for p in (*from_files, resolved))
        raise CallError(f"{path}: a cycle of warm starts: {circle}")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CallError(f"{path}: no JSON ({error})") from None
    if isinstance(tree, dict) and isinstance(tree.get("experiment"), dict):
        tree = tree["experiment"]  # as a run's folder has it
    if not isinstance(tree, dict):
        raise CallError(f"{path}: no experiment; expected its fields data, model, training, seed")
    start = tree.get("start")
    if isinstance(start, dict) and isinstance(start.get("source"), str):
        source = _read_tree(path.parent / start["source"], (*from_files, resolved))
        tree = tree | {"start": start | {"source": source}}
    return tree
