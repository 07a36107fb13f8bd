"""Augmentation as it is written on the command line: ``flip:0.25,brightness:0.2``.

Importing this loads no TensorFlow.
"""

from typing import Any

from pydantic import ValidationError

from kerascw.errors import CallError, choices
from kerascw.experiment.settings import one_line
from kerascw.experiment.spec import (
    AUGMENTATIONS,
    AugmentationSpec,
    Autocontrast,
    Brightness,
    Contrast,
    Flip,
    Solarize,
)

KINDS: dict[str, Any] = {spec.model_fields["kind"].default: spec for spec in AUGMENTATIONS}
"""Every kind by its name, in the order that ``all`` applies them in."""

LENET: tuple[AugmentationSpec, ...] = (
    Flip(probability=0.25),
    Brightness(amount=0.2),
    Contrast(amount=0.2),
    Autocontrast(probability=0.2),
    Solarize(probability=0.2, threshold=15),
)
"""Those of the report on LeNet's variants."""

LISTS: dict[str, tuple[AugmentationSpec, ...]] = {
    "none": (),
    "lenet": LENET,
    "all": tuple(spec() for spec in KINDS.values()),
}


def augmentation_named(text: str) -> tuple[AugmentationSpec, ...]:
    """Return the operations that ``text`` lists, separated by commas, in order.

    Each is a kind with its values after colons, in the order of its fields or named; what is left
    out has its default. ``none``, ``lenet`` and ``all`` stand for lists.

    Raises
    ------
    CallError
        A kind, field or value that is none.

    >>> augmentation_named("flip:0.25,erase:fill=black")[0]
    Flip(kind='flip', probability=0.25)
    >>> augmentation_named("solarize:0.2:15") == augmentation_named("solarize")
    True
    """
    found: list[AugmentationSpec] = []
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
                f"augmentation {name!r}: no such kind; choose {choices([*KINDS, *LISTS])}"
            )
    return tuple(found)


def _one(kind: str, values: list[str]) -> AugmentationSpec:
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
            raise CallError(f"augmentation {kind}: no field {name!r}; choose {choices(fields)}")
        if name in given:
            raise CallError(f"augmentation {kind}: {name} is given twice")
        given[name] = own
    try:
        spec: AugmentationSpec = KINDS[kind].model_validate(given)
    except ValidationError as error:
        raise CallError(one_line(error, f"augmentation {kind}: ")) from None
    return spec


def augmentation_text(specs: tuple[AugmentationSpec, ...]) -> str:
    """Return the operations in words: ``flip (probability 0.25), brightness (amount 0.2)``."""
    said = []
    for spec in specs:
        fields = spec.model_dump(exclude={"kind"})
        values = ", ".join(f"{name} {value}" for name, value in fields.items())
        said.append(f"{spec.kind} ({values})")
    return ", ".join(said) or "none"
