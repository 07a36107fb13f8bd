"""Micro-batching: requests that wait at the same time are answered by one call of the model."""

import asyncio
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascw.errors import KerascwError
from kerascw.export.runtimes import Outputs

LARGEST = 128
"""Images in one call of the model: more are answered in several, which bounds memory."""

Answer = dict[str, np.ndarray]
"""float32 ``[n, k]`` by output name."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    images: np.ndarray
    answer: "asyncio.Future[Answer]"


class Batcher:
    """One thread that calls a model; LiteRT allows no more.

    It never waits for a batch to fill: what has arrived while it was busy is the next batch. So a
    request that is alone is answered at once. Without ``batching`` each request is a call of its
    own.
    """

    def __init__(self, outputs: Outputs, *, batching: bool = True) -> None:
        self._outputs, self._batching = outputs, batching
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self.calls = 0  # of the model
        self.images = 0
        self.thread = threading.Thread(target=self._work, name="model", daemon=True)
        self.thread.start()

    async def answer(self, images: np.ndarray) -> Answer:
        """Return the model's outputs for images uint8 ``[n, h, w, c]``, n at least 1.

        A caller that is cancelled is left out where the model has not begun on its images. Raises
        what the model raises, for all requests of the batch.
        """
        waiting = _Waiting(images, asyncio.get_running_loop().create_future())
        self._queue.put(waiting)
        return await waiting.answer

    def close(self) -> None:
        """End the thread once it has answered what waits."""
        self._queue.put(None)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            count = len(first.images)
            while self._batching and count < LARGEST:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._queue.put(None)  # for the loop above
                    break
                group.append(following)
                count += len(following.images)
            if alive := [waiting for waiting in group if not waiting.answer.cancelled()]:
                self._answer(alive)

    def _answer(self, group: Sequence[_Waiting]) -> None:
        answers: Answer | Exception
        try:
            answers = self._called(group)
        except Exception as error:  # a runtime's own kinds; the requests have to hear of it
            answers = error
        with suppress(RuntimeError):  # the server has ended meanwhile
            group[0].answer.get_loop().call_soon_threadsafe(_deliver, group, answers)

    def _called(self, group: Sequence[_Waiting]) -> Answer:
        images = group[0].images if len(group) == 1 else np.concatenate([w.images for w in group])
        parts: list[Answer] = []
        for at in range(0, len(images), LARGEST):
            if all(waiting.answer.cancelled() for waiting in group):
                raise KerascwError("nobody waits for it any more")
            part = images[at : at + LARGEST]
            parts.append(self._outputs(part))
            self.calls += 1
            self.images += len(part)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _deliver(group: Sequence[_Waiting], answers: Any) -> None:
    at = 0
    for waiting in group:
        end = at + len(waiting.images)
        if not waiting.answer.cancelled():
            if isinstance(answers, Exception):
                waiting.answer.set_exception(answers)
            else:
                waiting.answer.set_result({n: values[at:end] for n, values in answers.items()})
        at = end
