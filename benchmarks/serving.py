"""`python -m kerascw serve` under load from another process, by the loopback interface.

    python benchmarks/serving.py [--seconds 4] [--requests 10000]

The model is saved_models/mnist, as it is and as LiteRT, with and without micro-batching. Requests
are TensorFlow Serving's, JSON of 28 x 28 integers; so many connections each ask again as soon as
they are answered. Then one server answers many requests of which every twentieth is wrong: all are
compared with what the model itself says, and the server's memory is watched. Client and server
share the machine's cores.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from harness import machine, markdown, numbers, options, save

from kerascw.export.load import LoadedModel, load_model

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "saved_models" / "mnist"
WRONG = (b"{", b'{"instances": [[0]]}', b'{"instances": [NaN]}', b'{"inputs": "text"}')
TOLERANCE = 1e-5
"""Of a probability: other batch sizes move it by float32's rounding."""


def with_litert(folder: Path) -> Path:
    """Copy the model to ``folder`` and put the same weights beside it as a LiteRT model."""
    from kerascw.experiment.spec import Experiment
    from kerascw.export.write import export
    from kerascw.models import build_model

    copied = Path(shutil.copytree(MODEL, folder / "mnist"))
    kept = load_model(copied)
    spec = Experiment.model_validate(dict(kept.card["experiment"])).model
    model = build_model(spec, kept.input_shape, len(kept.class_names), seed=0)
    import tensorflow as tf

    variables = tf.saved_model.load(str(kept.path)).variables
    for own, theirs in zip(model.weights, variables, strict=True):
        own.assign(theirs)
    export(
        model, copied / "litert", class_names=kept.class_names, card=kept.card,
        check_images=images_of(64), form="litert",
    )  # fmt: skip
    return copied


def images_of(count: int) -> np.ndarray:
    """Return so many random images, the same in every process."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)


@contextmanager
def serving(folder: Path, *, batching: bool) -> Iterator[tuple[int, psutil.Process]]:
    """Start the command at a free port; give the port and its process."""
    words = ["--port", "0", "--batching" if batching else "--no-batching"]
    command = [sys.executable, "-m", "kerascw", "serve", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # serving mnist: http://127.0.0.1:40000/ (Ctrl-C ...
            yield (
                int(line.partition("127.0.0.1:")[2].partition("/")[0]),
                psutil.Process(process.pid),
            )
        finally:
            process.terminate()


# --- the client -----------------------------------------------------------------------------


def request(body: bytes) -> bytes:
    head = "POST /v1/models/mnist:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n"
    return head.format(len(body)).encode() + body


def asking(images: np.ndarray) -> bytes:
    return request(json.dumps({"instances": images.tolist()}, separators=(",", ":")).encode())


async def ask(port: int, in_flight: int, requests: Iterator[tuple[int, bytes]]) -> list[Any]:
    """Send all requests over so many connections.

    Lists number, status, body and seconds of each answer.
    """
    answers = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        for number, content in requests:
            began = time.perf_counter()
            writer.write(content)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            body = await reader.readexactly(length)
            answers.append((number, int(head[9:12]), body, time.perf_counter() - began))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(in_flight)))
    return answers


def load(port: int, in_flight: int, size: int, seconds: float) -> dict[str, float]:
    """Ask for so many seconds, with ``size`` images in each request."""
    images = images_of(max(size, 64))
    contents = [asking(images[at : at + size]) for at in range(0, len(images) - size + 1, size)]

    def until(end: float) -> Iterator[tuple[int, bytes]]:
        number = 0
        while number < in_flight or time.perf_counter() < end:
            yield number, contents[number % len(contents)]
            number += 1

    asyncio.run(ask(port, in_flight, until(time.perf_counter() + seconds / 4)))  # to warm up
    began = time.perf_counter()
    answers = asyncio.run(ask(port, in_flight, until(began + seconds)))
    taken = time.perf_counter() - began
    assert all(status == 200 for _, status, _, _ in answers)
    times = [answer[3] for answer in answers]
    return {
        "rate": len(answers) / taken,
        "p50": float(np.quantile(times, 0.5)),
        "p99": float(np.quantile(times, 0.99)),
    }


def mixed(port: int, process: psutil.Process, model: LoadedModel, count: int) -> dict[str, Any]:
    """Send so many requests, every twentieth wrong, 64 in flight; check every answer."""
    images = images_of(200)
    own = model.predict(images).probabilities
    contents = [asking(image[None]) for image in images]
    wrong = [request(body) for body in WRONG]

    def which(numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for at in numbers:
            yield at, wrong[at // 20 % len(wrong)] if at % 20 == 0 else contents[at % len(images)]

    bad, memory, answers = 0, [], list[Any]()
    for part in np.array_split(np.arange(count), 10):
        answers += asyncio.run(ask(port, 64, which(part.tolist())))
        memory.append(process.memory_info().rss / 2**20)
    for number, status, body, _ in answers:
        told = json.loads(body)
        if number % 20 == 0:
            bad += not (status == 400 and list(told) == ["error"])
        else:
            (row,) = told["predictions"]
            apart = np.abs(np.array(row["probabilities"]) - own[number % len(images)]).max()
            bad += not (status == 200 and apart <= TOLERANCE)
    lost = len(set(range(count)) - {answer[0] for answer in answers})
    return {"requests": count, "lost": lost, "answered_wrongly": bad, "memory_mb": memory}


# --- the table ------------------------------------------------------------------------------


def table(found: dict[str, Any]) -> str:
    rows = []
    for case, levels in found["load"].items():
        for in_flight, sizes in levels.items():
            cells = []
            for size, each in sizes.items():
                rate = each["rate"] * int(size)
                cells += [f"{rate:,.0f}", f"{each['p50'] * 1e3:.1f}", f"{each['p99'] * 1e3:.1f}"]
            rows.append((case, in_flight, *cells))
    header = ["model", "in flight"]
    for size in next(iter(next(iter(found["load"].values())).values())):
        header += [f"images/s, {size} a request", "p50, ms", "p99, ms"]
    return markdown(header, rows)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--requests", type=int, default=10_000, help="with wrong ones among them")
    parser.add_argument("--in-flight", type=numbers, default=(1, 8, 64))
    parser.add_argument("--sizes", type=numbers, default=(1, 100), help="images in a request")
    parser.add_argument("--only", default="SavedModel,LiteRT", help="formats, by comma")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found: dict[str, Any] = {"machine": machine(), "seconds": given.seconds, "load": {}}
    print(f"{found['machine']}, {given.seconds:g} seconds each", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        forms = given.only.split(",")
        folders = {"SavedModel": MODEL}
        if "LiteRT" in forms:
            folders["LiteRT"] = with_litert(Path(temporary))
        for form in forms:
            for batching in (True, False):
                case = f"{form}, {'batched' if batching else 'one by one'}"
                with serving(folders[form], batching=batching) as (port, _):
                    measure = partial(load, port, seconds=given.seconds)
                    found["load"][case] = {
                        str(flight): {str(size): measure(flight, size) for size in given.sizes}
                        for flight in given.in_flight
                    }
        found["mixed"] = {}
        for form in forms:
            with serving(folders[form], batching=True) as (port, process):
                result = mixed(port, process, load_model(MODEL), given.requests)
            found["mixed"][form] = result
            first, *_, last = result["memory_mb"]
            print(
                f"{form}: {result['requests']:,} requests, 5 % of them wrong: {result['lost']} "
                f"lost, {result['answered_wrongly']} answered wrongly; memory after a tenth "
                f"{first:.0f} MB, at the end {last:.0f} MB",
                flush=True,
            )
    print(table(found))
    save(given.results, "serving", found)


if __name__ == "__main__":
    main()
