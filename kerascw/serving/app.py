"""The web application: routes, limits, and answers in TensorFlow Serving's error form."""

import asyncio
import base64
import hashlib
import io
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kerascw.data.image_files import FORMATS, Picture, Unreadable, pillow_filters, read_pictures
from kerascw.errors import CallError, printable
from kerascw.evaluation.explain import grad_cam, occlusion
from kerascw.export.runtimes import TITLES
from kerascw.report.page import page
from kerascw.serving import tensorflow_serving as tfs
from kerascw.serving.metrics import Metrics
from kerascw.serving.shelf import Served, Shelf
from kerascw.serving.tensorflow_serving import Refusal

_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Limits:
    """What one request may take, and all at once."""

    body: int = 16 * 2**20  # bytes
    pixels: int = 25_000_000  # of an image file
    in_flight: int = 128  # requests
    seconds: float = 30.0  # for the body, and again for the answer


Work = Callable[[Request, Served, bytes], Awaitable[Any]]
"""Answers a request with what becomes JSON."""


class Server:
    """Answers with the model of a shelf. All its methods belong to one event loop."""

    def __init__(self, shelf: Shelf, limits: Limits, *, every: float, say: Callable[[str], None]):
        self.shelf, self.limits = shelf, limits
        self._every, self._say = every, say
        self.metrics = Metrics()
        # one: Pillow's warnings are the whole process', and one large image is memory enough
        self._decoder = ThreadPoolExecutor(1, "pictures")
        # one: a map of a live model exchanges a layer's call meanwhile
        self._explainer = ThreadPoolExecutor(1, "maps")
        predict = self._limited(":predict", self._predict)
        model, version = "/v1/models/{name}", "/v1/models/{name}/versions/{version}"
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/predict", self._limited("/predict", self._predict_file), methods=["POST"]),
                *(Route(f"{path}:predict", predict, methods=["POST"]) for path in (model, version)),
                *(Route(f"{path}/metadata", self._metadata) for path in (model, version)),
                *(Route(path, self._status) for path in (model, version)),
            ],
            exception_handlers={HTTPException: _http_error, Refusal: _refused},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(self.shelf.follow(self._every, self._say))
        yield
        following.cancel()
        for threads in (self._decoder, self._explainer):
            threads.shutdown(wait=False, cancel_futures=True)
        self.shelf.current.retire()

    # --- limits -----------------------------------------------------------------------------

    def _limited(self, route: str, work: Work) -> Callable[[Request], Awaitable[Response]]:
        """Make an endpoint that reads a body, and counts what it answered."""

        async def endpoint(request: Request) -> Response:
            began, status = time.perf_counter(), 500
            try:
                response = await self._answered(request, work)
                status = response.status_code
                return response
            except Refusal as refusal:
                status = refusal.status
                raise
            except Exception as error:  # of the model or of this program; the connection stays
                _LOG.exception("%s failed", route)
                reason = f"failed: {type(error).__name__}; see the server's log"
                return JSONResponse({"error": reason}, status)
            finally:
                self.metrics.answered(route, status, time.perf_counter() - began)

        return endpoint

    async def _answered(self, request: Request, work: Work) -> Response:
        if self.metrics.in_flight >= self.limits.in_flight:
            raise Refusal(503, f"{self.limits.in_flight} requests are in flight; try again later")
        self.metrics.in_flight += 1
        try:
            with self._asked_for(request).lease() as served:
                body = await self._body(request)
                try:
                    async with asyncio.timeout(self.limits.seconds):
                        return JSONResponse(await work(request, served, body))
                except TimeoutError:
                    reason = f"no answer within {self.limits.seconds:g} seconds"
                    raise Refusal(504, reason) from None
        finally:
            self.metrics.in_flight -= 1

    def _asked_for(self, request: Request) -> Served:
        """Return the version that a path names; the current one where it names none."""
        served, path = self.shelf.current, request.path_params
        name, version = path.get("name", served.name), path.get("version", str(served.version))
        if name != served.name:
            raise Refusal(404, f"no model {printable(name):.60}; this server has {served.name}")
        if version != str(served.version):
            raise Refusal(404, f"{name} has no version {printable(version):.20} here; "
                               f"this server has {served.version}")  # fmt: skip
        return served

    async def _body(self, request: Request) -> bytes:
        most = self.limits.body
        too_large = Refusal(413, f"the body has more than {most:,} bytes")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, f"no whole body within {self.limits.seconds:g} seconds") from None
        except ClientDisconnect:
            raise Refusal(400, "the body was cut off") from None  # for the count: nobody reads it
        return bytes(body)

    # --- TensorFlow Serving's API -----------------------------------------------------------

    async def _predict(self, _: Request, served: Served, body: bytes) -> Any:
        asked = tfs.asked(body, served.model.input_shape)
        images = asked.images
        if images is None:
            # as the signature does, which never inverts
            images = await self._decoded(asked.files, served, "no")
        answer = await served.batcher.answer(images)
        return tfs.outputs_of(served, answer, by_row=asked.by_row)

    async def _status(self, request: Request) -> Response:
        return JSONResponse(tfs.status_of(self._asked_for(request), self.shelf.refused))

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse(tfs.metadata_of(self._asked_for(request)))

    # --- image files ------------------------------------------------------------------------

    async def _predict_file(self, request: Request, served: Served, body: bytes) -> Any:
        """Answer an image file: all classes, the most probable first.

        With ``?image=1`` also the image as the model sees it, with ``?map=1`` where it looked;
        ``?invert=`` as ``predict`` has it.
        """
        file = await _file_in(request, body)
        invert = request.query_params.get("invert", "auto")
        images = await self._decoded((file,), served, invert)
        (probabilities,) = (await served.batcher.answer(images))["probabilities"]
        answer: dict[str, Any] = {"model": served.name, "version": str(served.version)}
        answer["predictions"] = [
            {
                "class_id": class_id,
                "label": served.model.class_names[class_id],
                "probability": float(probabilities[class_id]),
            }
            for class_id in np.argsort(-probabilities, kind="stable").tolist()
        ]
        if request.query_params.get("image") == "1":
            answer["image"] = _data_url(images[0])
        if request.query_params.get("map") == "1":
            loop, best = asyncio.get_running_loop(), answer["predictions"][0]["class_id"]
            deadline = time.monotonic() + self.limits.seconds
            work = partial(_looked_at, served, images, best, loop, deadline)
            answer["map"] = _data_url(await loop.run_in_executor(self._explainer, work))
        return answer

    async def _decoded(self, files: tuple[bytes, ...], served: Served, invert: str) -> np.ndarray:
        deadline = time.monotonic() + self.limits.seconds
        work = partial(_decode, files, served, invert, self.limits.pixels, deadline)
        return await asyncio.get_running_loop().run_in_executor(self._decoder, work)

    # --- for people and their monitors ------------------------------------------------------

    async def _page(self, _: Request) -> Response:
        served = self.shelf.current
        names, shape = served.model.class_names, served.model.input_shape
        drawn = "whole"
        if served.model.light_on_dark and shape[2] == 1:
            digits = shape == (28, 28, 1) and all(name.isdecimal() for name in names)
            drawn = "mnist" if digits else "frame"
        facts = {
            "drawn": drawn,
            "shape": shape,
            "names": names,
            "version": str(served.version),
            "light": served.model.light_on_dark,
        }
        form, card = TITLES[served.model.form], served.model.card
        html = page("serve.html", served=served, form=form, card=card, facts=facts, **facts)
        return HTMLResponse(html, headers={
            "content-security-policy": _policy(html), "cache-control": "no-store",
            "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
        })  # fmt: skip

    async def _health(self, _: Request) -> Response:
        served = self.shelf.current
        return JSONResponse({"status": "ok", "model": served.name, "version": str(served.version)})

    async def _metrics(self, _: Request) -> Response:
        text = self.metrics.text(self.shelf.current)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer where there is no such path, or it does not take this method."""
    assert isinstance(error, HTTPException)
    place = f"{request.method} {printable(request.url.path):.100}"
    return JSONResponse({"error": f"{error.detail}: {place}"}, error.status_code, error.headers)


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    wait = {"retry-after": "1"} if refusal.status == 503 else None
    return JSONResponse({"error": refusal.reason}, refusal.status, wait)


def _policy(page: str) -> str:
    """Return a security policy that lets the page's own style and script run, and nothing else."""
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in re.findall(r"<(style|script)>(.*?)</\1>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    return (
        "default-src 'none'; img-src data: blob:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"style-src {' '.join(hashes['style'])}; script-src {' '.join(hashes['script'])}"
    )


_BYTES = ("application/octet-stream", "application/x-www-form-urlencoded")
"""What clients call a body of which they do not know what it is; the second is curl's."""


async def _file_in(request: Request, body: bytes) -> bytes:
    """Return the image file of a request: its body, or the one file of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":

        async def whole() -> AsyncIterator[bytes]:
            yield body

        parser = MultiPartParser(request.headers, whole(), max_files=1, max_fields=8)  # type: ignore[arg-type]
        parser.spool_max_size = len(body) + 1  # never to a disk
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise Refusal(400, f"the form cannot be read: {error.message}") from None
        for value in form.values():
            if not isinstance(value, str):
                return await value.read()
        raise Refusal(400, "the form has no file")
    if kind and not kind.startswith("image/") and kind not in _BYTES:
        raise Refusal(415, f"content-type {printable(kind):.60}; expected an image or a form "
                           "with one (multipart/form-data)")  # fmt: skip
    return body


# --- in the decoder's thread ----------------------------------------------------------------


def _decode(
    files: tuple[bytes, ...], served: Served, invert: Any, most: int, deadline: float
) -> np.ndarray:
    """Read image files to uint8 ``[n, h, w, c]``; a Refusal names the first that is none."""
    images = []
    for at, file in enumerate(files):
        where = f"image {at}: " if len(files) > 1 else ""
        if time.monotonic() > deadline:
            raise TimeoutError
        if _pixels(file) > most:
            raise Refusal(413, f"{where}more than {most:,} pixels")
        try:
            (read,) = read_pictures(
                ["-"], served.model.input_shape, light_on_dark=served.model.light_on_dark,
                invert=invert, fit=served.model.fit, stdin=io.BytesIO(file),
            )  # fmt: skip
        except CallError as error:
            raise Refusal(400, str(error)) from None
        if isinstance(read, Unreadable):
            raise Refusal(400, where + printable(read.reason))
        assert isinstance(read, Picture)
        images.append(read.array)
    return np.stack(images)


def _pixels(file: bytes) -> int:
    """Return how many pixels a file claims to have, from its head; 0 if it cannot be read."""
    try:
        with pillow_filters(), Image.open(io.BytesIO(file), formats=FORMATS) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return 2**31
    except Exception:  # Pillow has many for damaged files; read_pictures says which
        return 0


# --- in the explainer's thread --------------------------------------------------------------


def _looked_at(
    served: Served,
    images: np.ndarray,
    best: int,
    loop: asyncio.AbstractEventLoop,
    deadline: float,
) -> np.ndarray:
    """Return one image, ``[1, h, w, c]``, with the evidence for a class in orange.

    By gradients where there is a live model, else by occlusion, whose some hundred predictions
    wait their turn among those of other requests.
    """
    from kerascw.report.explained import GREY
    from kerascw.report.figures import overlaid  # imports Matplotlib

    def predict(covered: np.ndarray) -> np.ndarray:
        answer = asyncio.run_coroutine_threadsafe(served.batcher.answer(covered), loop)
        return answer.result(max(0, deadline - time.monotonic()))["probabilities"]

    if served.live is not None:
        (evidence,) = grad_cam(served.live, images, [best], by_place=True)
    else:
        fill = 0 if served.model.light_on_dark else GREY
        (evidence,) = occlusion(predict, images, [best], fill)
    return overlaid(images[0], evidence)


# --- answers --------------------------------------------------------------------------------


def _data_url(pixels: np.ndarray) -> str:
    """Return an image as the text of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
