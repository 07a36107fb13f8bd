"""Many requests at once, batches, and new versions under way."""

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from kerascw.errors import CallError, DataError
from kerascw.export.load import DOCUMENT, EXTRA_FILE, LoadedModel, load_model, versions_in
from kerascw.serving.batching import LARGEST, Batcher
from kerascw.serving.shelf import Shelf

MNIST = Path(__file__).parents[2] / "saved_models" / "mnist"
BAD = (b"{", b'{"instances": [[0]]}', b'{"inputs": [NaN]}')


@pytest.mark.parametrize(("count", "batching"), [(300, True), (60, False)])
def test_many_at_once_with_bad_ones_among_them(
    serving: Any, mnist: LoadedModel, digits: np.ndarray, count: int, batching: bool
) -> None:
    own = mnist.predict(digits).probabilities
    rng = np.random.default_rng(0)
    chosen = [rng.integers(0, 40, size=1 + at % 3) for at in range(count)]
    bodies = [json.dumps({"inputs": digits[which].tolist()}).encode() for which in chosen]
    for at in range(0, count, 10):
        bodies[at] = BAD[at // 10 % 3]

    async def ask(url: str) -> list[httpx.Response]:
        answers: dict[int, httpx.Response] = {}
        waiting = iter(enumerate(bodies))

        async def one_after_another() -> None:
            for at, body in waiting:
                answers[at] = await client.post("/v1/models/mnist:predict", content=body)

        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            await asyncio.gather(*(one_after_another() for _ in range(40)))
        return [answers[at] for at in range(count)]

    with serving(MNIST, batching=batching) as server:
        answers = asyncio.run(ask(server.url))
        batcher = server.shelf.current.batcher
        assert batcher.images == sum(len(which) for at, which in enumerate(chosen) if at % 10)
        assert (batcher.calls < 0.9 * count) == batching
    for at, (answer, which) in enumerate(zip(answers, chosen, strict=True)):
        if at % 10 == 0:
            assert (answer.status_code, list(answer.json())) == (400, ["error"])
            continue
        assert answer.status_code == 200
        told = np.array(answer.json()["outputs"]["probabilities"])
        np.testing.assert_allclose(told, own[which], atol=1e-5)


def test_what_waits_is_one_batch_and_large_ones_are_cut() -> None:
    sizes: list[int] = []
    busy, free = threading.Event(), threading.Event()

    def outputs(images: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(images))
        busy.set()
        free.wait(10)
        return {"probabilities": images[:, :1, 0, 0].astype(np.float32)}

    def images(first: int, count: int) -> np.ndarray:
        return np.full((count, 2, 2, 1), first, np.uint8)

    async def ask() -> list[dict[str, np.ndarray]]:
        batcher = Batcher(outputs)
        asking = [asyncio.create_task(batcher.answer(images(0, 1)))]
        await asyncio.to_thread(busy.wait)
        for first, count in ((1, 3), (2, 1), (3, 5), (4, LARGEST + 7), (5, 1)):
            asking.append(asyncio.create_task(batcher.answer(images(first, count))))
        await asyncio.sleep(0.05)
        asking.pop(2).cancel()
        free.set()
        answers = await asyncio.gather(*asking)
        batcher.close()
        return answers

    answers = asyncio.run(ask())
    told = [set(answer["probabilities"].ravel().tolist()) for answer in answers]
    assert told == [{0.0}, {1.0}, {3.0}, {4.0}, {5.0}]
    assert [len(answer["probabilities"]) for answer in answers] == [1, 3, 5, LARGEST + 7, 1]
    # the first alone; then what waited, without the one that was cancelled, cut at LARGEST
    assert sizes == [1, LARGEST, 15, 1]


def version_of(server: Any) -> str:
    return str(server.client.get("/healthz").json()["version"])


def test_a_new_version_takes_over_and_the_old_one_ends_its_requests(
    serving: Any, digits: np.ndarray, file_of: Callable[..., bytes], tmp_path: Path,
    wait: Callable[..., None],
) -> None:  # fmt: skip
    folder = tmp_path / "mnist"
    shutil.copytree(MNIST / "1", folder / "1")
    png = file_of(digits[0])
    with serving(folder, seconds=20) as server, ThreadPoolExecutor(1) as pool:

        def answered() -> str:
            with httpx.Client(base_url=server.url, timeout=20) as client:
                return str(client.post("/predict", content=png).json()["version"])

        old = server.shelf.current
        outputs, busy, free = old.batcher._outputs, threading.Event(), threading.Event()

        def held(images: np.ndarray) -> Any:
            busy.set()
            free.wait(20)
            return outputs(images)

        old.batcher._outputs = held
        begun = pool.submit(answered)
        busy.wait(20)
        # a copy that is under way is not taken up, and said once
        part = shutil.copytree(
            folder / "1", tmp_path / "part", ignore=shutil.ignore_patterns("*.data-*")
        )
        part.rename(folder / "2")  # at once: the server looks while files are copied, too
        wait(lambda: server.said)
        status = server.client.get("/v1/models/mnist").json()["model_version_status"]
        assert [each["state"] for each in status] == ["END", "AVAILABLE"]
        assert "SHA-256" in status[0]["status"]["error_message"]
        assert version_of(server) == "1"
        data = "variables/variables.data-00000-of-00001"
        shutil.copy(folder / "1" / data, folder / "2" / data)
        wait(lambda: version_of(server) == "2")
        assert answered() == "2"  # while the old one is still held up
        assert old.requests == 1
        free.set()
        assert begun.result() == "1"
        wait(lambda: not old.batcher.thread.is_alive())
        status = server.client.get("/v1/models/mnist").json()["model_version_status"]
        assert [(each["version"], each["state"]) for each in status] == [("2", "AVAILABLE")]
        gone = server.client.post("/v1/models/mnist/versions/1:predict", json={"instances": [1]})
        assert gone.status_code == 404
        # and back, where the new one is deleted
        shutil.rmtree(folder / "2")
        wait(lambda: version_of(server) == "1")
        assert answered() == "1"
        assert [line.partition(":")[0] for line in server.said] == [
            "version 2 is not taken up", "version 2 answers now", "version 1 answers now",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (None, "version 2 is not taken up: {folder}/2: no such folder"),
        (
            PermissionError(13, "Permission denied", "2/saved_model.pb"),
            "version 2 is not taken up: 2/saved_model.pb: Permission denied",
        ),
        (DataError("damaged"), "version 2 is not taken up: damaged"),
        (RuntimeError("odd"), "the look for a new version failed: RuntimeError: odd"),
    ],
    ids=["deleted", "unreadable", "damaged", "unforeseen"],
)
def test_what_stops_a_look_is_said_once_and_does_not_end_the_watch(
    serving: Any, mnist: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    wait: Callable[..., None], fault: Exception | None, says: str,
) -> None:  # fmt: skip
    folder, away = tmp_path / "mnist", tmp_path / "away"
    (folder / "1").mkdir(parents=True)
    faults, looks = [fault], 0

    def fail() -> None:
        if faults[0]:
            raise faults[0]

    def load(path: Path) -> LoadedModel:
        if path.name == "2":
            fail()
        return replace(mnist, path=path) if path.is_dir() else load_model(path)

    def listed(path: Path) -> dict[int, Path]:
        nonlocal looks
        looks += 1
        versions = versions_in(path)
        if isinstance(fault, RuntimeError) and 2 in versions:
            fail()  # at every look
        if fault is None and 2 in versions and not away.exists():
            (path / "2").rename(away)  # deleted when it has been listed
        return versions

    monkeypatch.setattr("kerascw.serving.shelf.load_model", load)
    monkeypatch.setattr("kerascw.serving.shelf.versions_in", listed)
    with serving(folder, every=0.01) as server:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "file").touch()
        (tmp_path / "new").rename(folder / "2")
        wait(lambda: server.said)
        after = looks + 5
        wait(lambda: looks > after)
        (line,) = server.said
        assert line.startswith(says.format(folder=folder))
        status = server.client.get("/v1/models/mnist").json()["model_version_status"]
        refused = [each["status"]["error_message"] for each in status if each["state"] == "END"]
        assert refused == (
            [line.removeprefix("version 2 is not taken up: ")]
            if isinstance(fault, PermissionError | DataError)
            else []
        )
        faults[0] = None
        if fault is None:
            away.rename(folder / "2")
            away.mkdir()
        if isinstance(fault, DataError):  # the others are tried again without a change of files
            (folder / "2" / "file").chmod(0o600)
        wait(lambda: version_of(server) == "2")
        assert len(server.said) == 2


def test_a_light_export_of_the_same_run_answers_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mnist: LoadedModel
) -> None:
    loaded: list[Path] = []

    def load(path: Path) -> LoadedModel:
        loaded.append(path)
        return mnist

    monkeypatch.setattr("kerascw.serving.shelf.load_model", load)
    folder = tmp_path / "mnist"
    document = json.loads((MNIST / "1" / EXTRA_FILE).read_text())
    for place in ("3/assets.extra", "litert/1", "litert/2", "onnx/1"):
        (folder / place).mkdir(parents=True)
        card = document["card"] | {"run": {"litert/1": "another"}.get(place, "the same")}
        (folder / place / "kerascw.json").write_text(json.dumps(document | {"card": card}))
    for expected, then in (("litert/2", "litert"), ("onnx/1", "onnx"), ("3", None)):
        shelf = Shelf(folder)
        shelf.current.retire()
        assert (shelf.name, shelf.current.version) == ("mnist", 3)
        assert loaded.pop() == folder / expected
        if then:
            shutil.rmtree(folder / then)


def test_a_light_export_that_is_half_copied_is_passed_over(tmp_path: Path) -> None:
    shutil.copytree(MNIST / "1", tmp_path / "mnist" / "1")
    half = tmp_path / "mnist" / "litert" / "1"
    half.mkdir(parents=True)
    shutil.copy(MNIST / "1" / EXTRA_FILE, half)
    for content in (None, b"damaged"):
        if content:
            (half / "model.tflite").write_bytes(content)
            document = json.loads((half / DOCUMENT).read_text())
            # found by its runtime only
            (half / DOCUMENT).write_text(json.dumps(document | {"files": {}}))
        shelf = Shelf(tmp_path / "mnist")
        shelf.current.retire()
        assert shelf.current.model.path == tmp_path / "mnist" / "1"


def test_what_may_be_served(tmp_path: Path) -> None:
    bare = shutil.copytree(MNIST / "1", tmp_path / "no number" / "bare")
    for path in (MNIST / "1", MNIST.with_name("mnist@1"), bare):
        shelf = Shelf(path)
        shelf.current.retire()
        assert (shelf.name, shelf.current.version) == ("bare" if path == bare else "mnist", 1)
    assert shelf.current.model.title == f"bare, SavedModel ({bare})"
    (tmp_path / "1").mkdir()
    for path in (tmp_path, tmp_path / "nix"):
        with pytest.raises(CallError):
            Shelf(path)
