import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascw.export.load import LoadedModel, load_model

httpx: Any = pytest.importorskip("httpx")
for _package in ("starlette", "uvicorn", "httptools", "python_multipart"):
    pytest.importorskip(_package, reason="needs the extra serve: pip install 'kerascw[serve]'")

ROOT = Path(__file__).parents[2]


@dataclass(eq=False)
class Running:
    """A server in a thread of this process, and who asks it over HTTP."""

    shelf: Any
    url: str
    client: Any
    said: list[str]

    def predict(self, content: Any, **words: Any) -> Any:
        return self.client.post("/v1/models/mnist:predict", json=content, **words)


Serve = Callable[..., AbstractContextManager[Running]]


@contextmanager
def _serving(
    path: Path, *, batching: bool = True, every: float = 0.05, **limits: Any
) -> Iterator[Running]:
    from kerascw.serving.app import Limits
    from kerascw.serving.run import address, listening, web_server
    from kerascw.serving.shelf import Shelf

    with listening("127.0.0.1", 0) as listener:
        shelf, said, url = Shelf(path, batching=batching), list[str](), address(listener)
        server = web_server(shelf, limits=Limits(**limits), every=every, say=said.append)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=url, timeout=20) as client:
                yield Running(shelf, url, client, said)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def serving() -> Serve:
    """``with serving(path, in_flight=3) as running``: any of the limits."""
    return _serving


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """The server that most tests share: handwritten digits."""
    with _serving(ROOT / "saved_models" / "mnist") as started:
        yield started


@pytest.fixture(scope="session")
def mnist() -> LoadedModel:
    return load_model(ROOT / "saved_models" / "mnist")


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Forty images that look like digits: uint8 [40, 28, 28, 1], no two alike."""
    from sklearn.datasets import load_digits

    images = [Image.fromarray((8 * each).astype(np.uint8)) for each in load_digits().images[:40]]
    made = np.zeros((40, 28, 28, 1), np.uint8)
    for frame, image in zip(made, images, strict=True):
        frame[4:24, 4:24, 0] = image.resize((20, 20), Image.Resampling.BILINEAR)
    return made


@pytest.fixture(scope="session")
def file_of() -> Callable[..., bytes]:
    """Write pixels as an image file."""

    def written(pixels: np.ndarray, form: str = "PNG") -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(stream, form)
        return stream.getvalue()

    return written


@pytest.fixture(scope="session")
def wait() -> Callable[..., None]:
    """Wait until something is true."""

    def until(what: Callable[[], Any], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end
            time.sleep(0.01)

    return until
