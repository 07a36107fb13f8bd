"""The model that is served, and how a new version of it takes over without a stop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kerascw.errors import CallError, DataError, KerascwError
from kerascw.evaluation.explain import feature_layer
from kerascw.export.load import (
    DOCUMENT,
    EXTRA_FILE,
    LoadedModel,
    load_model,
    read_document,
    versions_in,
)
from kerascw.export.runtimes import FILES, Format
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
        self._follows = path.is_dir() and bool(versions_in(path))
        self.refused: dict[int, str] = {}  # versions that could not be loaded, and why
        self._looked_at: object = None
        self.current = self._loaded(self._highest() if self._follows else None)
        self.name = self.current.name

    async def follow(self, every: float, say: Callable[[str], None]) -> None:
        """Take up new versions for ever, and the one before where the newest was deleted.

        A version that cannot be loaded, as one that is still being copied, is said once, and tried
        again when its files change. The old version ends with the requests that began on it.
        """
        while self._follows:
            await asyncio.sleep(every)  # seconds
            before = dict(self.refused)
            taken = await asyncio.to_thread(self._look)
            if taken is not None:
                old, self.current = self.current, taken
                old.retire()
                say(f"version {taken.version} answers now: {taken.model.title}")
            for version, reason in self.refused.items():
                if before.get(version) != reason:
                    say(f"version {version} is not taken up: {reason}")

    def _look(self) -> Served | None:
        """Load the highest version if it is another one; None if there is nothing to do."""
        with suppress(OSError):  # the folder itself may be away for a moment
            version = self._highest()
            if version is None or version == self.current.version:
                self.refused.clear()
                return None
            seen = (version, _state(versions_in(self._path)[version]))
            if seen == self._looked_at:
                return None
            self._looked_at = seen
            try:
                taken = self._loaded(version)
            except KerascwError as error:
                self.refused = {version: str(error)}
                return None
            self.refused.clear()
            return taken
        return None

    def _highest(self) -> int | None:
        return max(versions_in(self._path), default=None)

    def _loaded(self, version: int | None) -> Served:
        if version is not None:
            folder = self._path
            model = load_model(_quickest(folder, versions_in(folder)[version]))
        else:
            model = load_model(self._path)
            of_version = model.path.name.isdecimal()  # else a run's
            folder = model.path.parent if of_version else model.path
            version = int(model.path.name) if of_version else 1
        *_, above, name = folder.absolute().parts
        black = np.zeros((1, *model.input_shape), np.uint8)
        model.predict(black)  # as many names as classes; and a first call takes longest
        return Served(
            above if name in FILES else name,
            version,
            model,
            {output: values.shape[1] for output, values in model.outputs(black).items()},
            Batcher(model.outputs, batching=self._batching),
            _live(model),
        )


def _live(model: LoadedModel) -> Any:
    if model.form == "keras":
        live = model.live()  # not the one that answers, which another thread calls
        with suppress(CallError):
            feature_layer(live)
            return live
    return None


def _quickest(folder: Path, version: Path) -> Path:
    """Return a light export of the same run as the SavedModel of this version, or the version."""
    run = read_document(version / EXTRA_FILE).get("card", {}).get("run")
    for form, package in _LIGHT.items():
        if run is None or find_spec(package) is None:
            continue
        for document in sorted((folder / form).glob(f"[0-9]*/{DOCUMENT}")):
            with suppress(DataError):  # a damaged one is not this run's
                if read_document(document)["card"].get("run") == run:
                    return document.parent
    return version


def _state(version: Path) -> list[tuple[str, int, int]]:
    """Return what changes when a file of a version does."""
    stats = ((path.as_posix(), path.stat()) for path in sorted(version.rglob("*")))
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
