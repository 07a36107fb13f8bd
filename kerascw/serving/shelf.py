"""The model that is served, and how a new version of it takes over without a stop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, KerascwError
from kerascw.evaluation.explain import feature_layer
from kerascw.export.load import (
    DOCUMENT,
    EXTRA_FILE,
    LoadedModel,
    load_model,
    name_and_version,
    read_document,
    versions_in,
)
from kerascw.export.runtimes import Format
from kerascw.serving.batching import Batcher

_LIGHT: dict[Format, str] = {"litert": "ai_edge_litert", "onnx": "onnxruntime"}
"""Formats that answer sooner than a SavedModel, the quickest first, and what opens them."""


@dataclass(eq=False)
class Served:
    """One version of a model, ready to answer."""

    name: str
    version: int
    model: LoadedModel
    heads: dict[str, int]  # classes by output name
    batcher: Batcher
    live: Any  # a Keras model with a convolution, to look into; None where there is none
    requests: int = 0  # that have begun and not ended
    retired: bool = False

    @contextmanager
    def lease(self) -> Iterator["Served"]:
        """Keep this version for a request, also if a newer one takes over meanwhile."""
        self.requests += 1
        try:
            yield self
        finally:
            self.requests -= 1
            self._end_if_unused()

    def retire(self) -> None:
        """End its thread after the last of its requests."""
        self.retired = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self.retired and not self.requests:
            self.batcher.close()


class Shelf:
    """The newest version of a model: its highest number, as TensorFlow Serving takes it.

    ``path`` is what :func:`kerascw.export.load.load_model` takes. Where it is a folder of versions
    it is looked through again by :meth:`follow`; otherwise there is one version for good. Where
    the folder has a LiteRT or ONNX export of the same run, that answers in the SavedModel's place.

    Raises what ``load_model`` raises.
    """

    def __init__(self, path: Path, *, batching: bool = True) -> None:
        self._path, self._batching = path, batching
        self.refused: dict[int, str] = {}  # a version that could not be loaded, and why
        self._looked_at: object = None
        found = _highest(path) if path.is_dir() else None
        self._follows = found is not None
        self.current = self._loaded(found)
        self.name = self.current.name

    async def follow(self, every: float, say: Callable[[str], None]) -> None:
        """Take up new versions for ever, and the one before where the newest was deleted.

        A version that cannot be loaded, as one that is still being copied, is said once, and tried
        again when its files change, or at the next look if a file could not be read. The old
        version ends with the requests that began on it.
        """
        failure = ""
        while self._follows:
            await asyncio.sleep(every)  # seconds
            before = self.refused
            try:
                taken = await asyncio.to_thread(self._look)
            except Exception as error:  # whatever it is, the next version must still be seen
                reason = f"the look for a new version failed: {type(error).__name__}: {error}"
                if reason != failure:
                    say(reason)
                failure = reason
                continue
            failure = ""
            if taken is not None:
                old, self.current = self.current, taken
                old.retire()
                say(f"version {taken.version} answers now: {taken.model.title}")
            for version, reason in self.refused.items():
                if before.get(version) != reason:
                    say(f"version {version} is not taken up: {reason}")

    def _look(self) -> Served | None:
        """Load the highest version if it is another one; None if there is nothing to do."""
        try:
            found = _highest(self._path)
        except OSError:  # the folder itself may be away for a moment
            return None
        if found is None or found[0] == self.current.version:
            self.refused, self._looked_at = {}, None
            return None
        version, path = found
        try:
            seen = (version, _state(path))
            if seen == self._looked_at:
                return None
            self._looked_at = seen
            taken = self._loaded(found)
        except KerascwError as error:
            self.refused = {version: str(error)}
        except OSError as error:  # it may pass without a change of these files
            self._looked_at = None
            self.refused = {version: f"{error.filename or path}: {error.strerror or error}"}
        else:
            self.refused = {}
            return taken
        return None

    def _loaded(self, found: tuple[int, Path] | None) -> Served:
        model = _ready(self._path) if found is None else _quickest(self._path, found[1])
        name, number = name_and_version(model.path, model.form)
        version = number if found is None else found[0]  # a light export has a number of its own
        answers = model.outputs(_black(model))
        return Served(
            name,
            1 if version is None else version,
            model,
            {output: values.shape[1] for output, values in answers.items()},
            Batcher(model.outputs, batching=self._batching),
            _live(model),
        )


def _highest(folder: Path) -> tuple[int, Path] | None:
    return max(versions_in(folder).items(), default=None)


def _black(model: LoadedModel) -> np.ndarray:
    return np.zeros((1, *model.input_shape), np.uint8)


def _live(model: LoadedModel) -> Any:
    if model.form == "keras":
        live = model.live()  # not the one that answers, which another thread calls
        with suppress(CallError):
            feature_layer(live)
            return live
    return None


def _ready(path: Path) -> LoadedModel:
    model = load_model(path)
    model.predict(_black(model))  # as many names as classes; and a first call takes longest
    return model


def _quickest(folder: Path, version: Path) -> LoadedModel:
    """Load a light export of the same run as the SavedModel of this version, or the version."""
    run = read_document(version / EXTRA_FILE).get("card", {}).get("run")
    for form, package in _LIGHT.items():
        if run is None or find_spec(package) is None:
            continue
        for document in sorted((folder / form).glob(f"[0-9]*/{DOCUMENT}")):
            with suppress(KerascwError, OSError):  # a damaged or half copied one is passed over
                if read_document(document).get("card", {}).get("run") == run:
                    return _ready(document.parent)
    return _ready(version)


def _state(version: Path) -> list[tuple[str, int, int, int]]:
    """Return what changes when a file of a version does, or who may read it."""
    stats = ((path.as_posix(), path.stat()) for path in sorted(version.rglob("*")))
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]
