"""Change fields of an experiment by their dotted paths, as the command line has them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from kerascw.errors import CallError, choices
from kerascw.experiment import spec as kinds


def one_line(error: ValidationError, prefix: str = "") -> str:
    """Turn pydantic's complaint into one line: field, what is wrong, value received."""
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


def _by_kind(union: Any) -> dict[str, Any]:
    """Return the specs of a union, by the ``kind`` that tells them apart."""
    return {spec.model_fields["kind"].default: spec for spec in get_args(get_args(union)[0])}


_CHOICES = [_by_kind(u) for u in (kinds.ModelSpec, kinds.OptimizerSpec, kinds.ScheduleSpec)]
"""The kinds of each part that is one of several."""

KINDS = _by_kind(kinds.AugmentationSpec)
"""Every kind of augmentation by its name, in the order that ``all`` applies them in."""

_KINDS = {kind: spec for specs in (*_CHOICES, KINDS) for kind, spec in specs.items()}

_FOUND = {
    ("backbone", "weights"): {"weights_sha256": ""},
    ("custom", "builder"): {"file": "", "source": ""},
}
"""What is found anew when this field of such a model names another file."""

S = TypeVar("S", bound=kinds.Spec)


def override(spec: S, settings: Mapping[str, Any], prefix: str = "") -> S:
    """Return the experiment, or another spec, with fields changed by their dotted paths.

    Values may be text as it comes from a command line: see :func:`parsed`. A changed
    ``kind`` starts that part afresh with its other fields' defaults, keeping the fields that both
    kinds have. ``prefix`` stands before each path in an error.

    Raises CallError: a path that names no field, or a value of the wrong type or range.

    >>> from kerascw.experiment.spec import DataSpec
    >>> override(DataSpec(name="mnist"), {"fraction": "0.5"}).fraction
    0.5
    """
    tree = spec.model_dump(mode="json")
    for path, raw in settings.items():
        *parents, name = path.split(".")
        node: Any = tree
        for parent in parents:
            node = _child(node, parent, f"{prefix}{path}")[parent]
        _child(node, name, f"{prefix}{path}")
        value = parsed(raw)
        text = isinstance(raw, str) and raw.lstrip()[:1] not in "[{"
        if text and (*parents[-1:], name) == ("training", "augmentation"):
            value = [spec.model_dump() for spec in augmentation_named(raw)]
        if name == "kind" and str(node[name]) in _KINDS:
            _change_kind(node, value, path)
        else:
            node |= {name: value} | _FOUND.get((str(node.get("kind")), name), {})
    changed: S = validated(type(spec), tree, prefix)
    return changed


def validated(kind: Any, tree: Any, prefix: str = "") -> Any:
    """Make a spec, or one of a union of specs, of plain values.

    Raises CallError: a missing, misspelt or wrong field, in one line that ``prefix`` begins.
    """
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        raise CallError(one_line(error, prefix) + _closest(error, kind)) from None


def _closest(error: ValidationError, kind: Any) -> str:
    """Name the fields of the spec in which pydantic found a field too many."""
    first = error.errors()[0]
    if first["type"] != "extra_forbidden":
        return ""
    name = str(first["loc"][-1])
    spec = next((_KINDS[part] for part in reversed(first["loc"]) if part in _KINDS), kind)
    fields = getattr(spec, "model_fields", {})
    return f"; the fields are {choices(sorted(fields), name)}" if fields else ""


def _child(node: Any, name: str, path: str) -> Any:
    """Return the part of a tree that has this field."""
    if isinstance(node, dict) and name in node:
        return node
    known = choices(sorted(node), name) if isinstance(node, dict) else "none"
    raise CallError(f"{path}: no such field {name!r}; there the fields are {known}")


def parsed(raw: Any) -> Any:
    """Read a value as the command line has it; what is not text stays as it is.

    >>> parsed("3"), parsed("16,32"), parsed("2.5%"), parsed("none"), parsed("flip")
    (3, [16, 32], 0.025, None, 'flip')
    """
    if not isinstance(raw, str):
        return raw
    if re.fullmatch(r"\d+(\.\d+)?%", raw):
        return float(raw[:-1]) / 100
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        if raw in ("none", "None"):
            return None
        if "," in raw:  # 32,64,64 is easier to type than [32,64,64]
            return [parsed(part.strip()) for part in raw.split(",")]
        return raw


def _change_kind(part: dict[str, Any], kind: Any, path: str) -> None:
    """Give a part of a tree another kind; the fields that both kinds have stay as they are."""
    known = next(specs for specs in _CHOICES if part["kind"] in specs)
    if str(kind) not in known:
        raise CallError(f"{path}: {kind!r}; choose {choices(known, str(kind))}")
    before = part | {"kind": kind}
    part.clear()
    for name, field in known[kind].model_fields.items():
        part[name] = before.get(name, None if field.is_required() else field.default)


def read_experiment(path: str | Path) -> kinds.Experiment:
    """Read an experiment from a JSON file: a kept run's experiment.json, or one written by hand.

    Raises CallError: a file that cannot be read, or a wrong field.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CallError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise CallError(f"{path}: no JSON ({error})") from None
    if isinstance(tree, dict) and isinstance(tree.get("experiment"), dict):
        tree = tree["experiment"]  # as a run's folder has it
    if not isinstance(tree, dict):
        raise CallError(f"{path}: no experiment; expected its fields data, model, training, seed")
    experiment: kinds.Experiment = validated(kinds.Experiment, tree, f"{path}: ")
    return experiment


# --- augmentation as text -------------------------------------------------------------------

LENET: tuple[kinds.AugmentationSpec, ...] = (
    kinds.Flip(probability=0.25),
    kinds.Brightness(amount=0.2),
    kinds.Contrast(amount=0.2),
    kinds.Autocontrast(probability=0.2),
    kinds.Solarize(probability=0.2, threshold=15),
)
"""The augmentations of the report on LeNet's variants."""

LISTS: dict[str, tuple[kinds.AugmentationSpec, ...]] = {
    "none": (),
    "lenet": LENET,
    "all": tuple(spec() for spec in KINDS.values()),
}


def augmentation_named(text: str) -> tuple[kinds.AugmentationSpec, ...]:
    """Read the operations that ``text`` lists, separated by commas, in order.

    Each is a kind with its values after colons, in the order of its fields or named; a field that
    is left out has its default. ``none``, ``lenet`` and ``all`` stand for lists.

    Raises CallError: a kind or field that does not exist, or a wrong value.

    >>> augmentation_named("flip:0.25,erase:fill=black")[0]
    Flip(kind='flip', probability=0.25)
    >>> augmentation_named("solarize:0.2:15") == augmentation_named("solarize")
    True
    """
    found: list[kinds.AugmentationSpec] = []
    for part in text.split(","):
        name, *values = part.strip().split(":")
        if name in LISTS and not values:
            found += LISTS[name]
        elif name in KINDS:
            found.append(_one(name, values))
        elif name in LISTS:
            raise CallError(f"augmentation {part.strip()!r}: {name} is a list and takes no value")
        else:
            raise CallError(
                f"augmentation {name!r}: no such kind; choose {choices([*KINDS, *LISTS], name)}"
            )
    return tuple(found)


def _one(kind: str, values: list[str]) -> kinds.AugmentationSpec:
    fields = [name for name in KINDS[kind].model_fields if name != "kind"]
    given: dict[str, str] = {}
    for number, value in enumerate(values):
        name, equals, own = (word.strip() for word in value.partition("="))
        if not equals:
            if number >= len(fields):
                raise CallError(
                    f"augmentation {kind}: {len(values)} values; it takes {':'.join(fields)}"
                )
            name, own = fields[number], name
        if name not in fields:
            raise CallError(
                f"augmentation {kind}: no field {name!r}; choose {choices(fields, name)}"
            )
        if name in given:
            raise CallError(f"augmentation {kind}: {name} is given twice")
        given[name] = own
    spec: kinds.AugmentationSpec = validated(KINDS[kind], given, f"augmentation {kind}: ")
    return spec
