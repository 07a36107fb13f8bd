"""Too large, too many, too slow, cut off: an answer of one line, and the next request is served."""

import json
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MNIST = Path(__file__).parents[2] / "saved_models" / "mnist"


@pytest.fixture(scope="module")
def strict(serving: Any) -> Iterator[Any]:
    """A server with little patience, whose model answers when its gate is open."""
    with serving(MNIST, body=20_000, pixels=10_000, in_flight=3, seconds=0.8) as started:
        batcher = started.shelf.current.batcher
        outputs, gate = batcher._outputs, threading.Event()
        gate.set()

        def gated(images: np.ndarray) -> Any:
            gate.wait(20)
            return outputs(images)

        batcher._outputs = gated
        started.gate = gate
        yield started


def answers(server: Any, digit: np.ndarray) -> bool:
    body = json.dumps({"instances": digit[None].tolist()}, separators=(",", ":"))
    path = f"/v1/models/{server.shelf.name}:predict"
    return bool(server.client.post(path, content=body).status_code == 200)


def raw(server: Any, content: bytes, *, end: bool = False) -> bytes:
    """Send bytes as they are, and read until the server closes or has answered in JSON."""
    host, port = re.findall(r"//(.*):(\d+)/", server.url)[0]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(content)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while not answer.endswith(b"}") and (more := connection.recv(65536)):  # head, then body
            answer += more
        return answer


def test_a_large_body_is_refused_by_its_length_and_by_its_bytes(
    strict: Any, digits: np.ndarray
) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    for content in (b" " * 20_001, pieces()):
        answer = strict.client.post("/predict", content=content)
        assert answer.status_code == 413
        assert answer.json() == {"error": "the body has more than 20,000 bytes"}
    assert answers(strict, digits[0])


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to width x height black pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * min((width + 1) * height, 10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    )


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    strict: Any, digits: np.ndarray
) -> None:
    import base64

    for width, height in ((101, 100), (9_500, 9_500), (20_000, 20_000), (2**31 - 1, 2**31 - 1)):
        file = bomb(width, height)
        assert len(file) < 12_000
        answer = strict.client.post("/predict", content=file)
        assert (answer.status_code, answer.json()) == (413, {"error": "more than 10,000 pixels"})
        files = [{"b64": base64.b64encode(each).decode()} for each in (bomb(9, 9), file)]
        body = {"signature_name": "encoded", "instances": files}
        answer = strict.predict(body)
        assert answer.status_code == 413
        assert answer.json() == {"error": "image 1: more than 10,000 pixels"}
    assert strict.client.post("/predict", content=bomb(100, 100)).status_code == 200
    assert answers(strict, digits[0])


def test_too_many_in_flight_get_503_and_too_slow_an_answer_504(
    strict: Any, digits: np.ndarray, wait: Callable[..., None]
) -> None:
    def status(_: int) -> tuple[int, str]:
        answer = strict.predict({"instances": digits[:1].tolist()})
        return answer.status_code, answer.json()["error"]

    strict.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(status, range(6)))
    assert sorted(found) == 3 * [(503, "3 requests are in flight; try again later")] + 3 * [
        (504, "no answer within 0.8 seconds")
    ]
    strict.gate.set()
    wait(lambda: "kerascw_in_flight 0" in strict.client.get("/metrics").text)
    assert answers(strict, digits[0])


def test_health_and_metrics_answer_while_the_model_is_busy(strict: Any, digits: np.ndarray) -> None:
    strict.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answers, strict, digits[0])
        assert strict.client.get("/healthz").json() == {
            "status": "ok",
            "model": "mnist",
            "version": "1",
        }
        strict.gate.set()
        assert waiting.result()


def test_a_body_that_does_not_come_or_is_cut_off(
    strict: Any, digits: np.ndarray, wait: Callable[..., None]
) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf"
    answer = raw(strict, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"error":"no whole body within 0.8 seconds"}')
    assert raw(strict, head, end=True) == b""  # nobody is there to be told
    cut_off = 'kerascw_requests_total{route="/predict",status="400"}'
    wait(lambda: cut_off in strict.client.get("/metrics").text)
    assert raw(strict, b"\x00\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    wait(lambda: "kerascw_in_flight 0" in strict.client.get("/metrics").text)
    assert answers(strict, digits[0])


def test_metrics_are_prometheus_text(serving: Any, digits: np.ndarray) -> None:
    with serving(MNIST) as server:
        for _ in range(3):
            assert answers(server, digits[0])
        server.client.post("/predict", content=b"no image")
        answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    *lines, last = answer.text.split("\n")
    assert last == ""
    sample = re.compile(r'([a-z_]+)(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? ([0-9.e+-]+)')
    values = {}
    for line in lines:
        if not line.startswith("# TYPE "):
            found = sample.fullmatch(line)
            assert found, line
            values[found[1] + (found[2] or "")] = float(found[4])
    assert values['kerascw_requests_total{route=":predict",status="200"}'] == 3
    assert values['kerascw_requests_total{route="/predict",status="400"}'] == 1
    assert values["kerascw_images"] == 3
    assert values["kerascw_request_seconds_count"] == 4
    buckets = [value for name, value in values.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 4
    assert values["kerascw_in_flight"] == 0


def test_a_failing_model_is_an_answer_of_one_line(serving: Any, digits: np.ndarray) -> None:
    with serving(MNIST) as server:
        batcher = server.shelf.current.batcher
        batcher._outputs, outputs = (lambda _: 1 / 0), batcher._outputs
        answer = server.predict({"instances": digits[:1].tolist()})
        assert answer.status_code == 500
        assert answer.json() == {"error": "failed: ZeroDivisionError; see the server's log"}
        batcher._outputs = outputs
        assert answers(server, digits[0])
