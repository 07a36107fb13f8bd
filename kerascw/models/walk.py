"""Walk through a model's layers, and look into a call of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def leaves(model: Any) -> Iterator[Any]:
    """Yield the layers in their order, those of models within the model in their place."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from leaves(layer)
        else:
            yield layer


@contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Have another value in an attribute for a while."""
    kept = vars(holder).get(name)  # None: its class has it
    setattr(holder, name, value)
    try:
        yield
    finally:
        if kept is None:
            delattr(holder, name)
        else:
            setattr(holder, name, kept)
