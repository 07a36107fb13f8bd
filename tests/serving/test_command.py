"""The serve command: what it says, and how it ends."""

import gc
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from kerascw.commands.main import main
from kerascw.serving.run import listening

MNIST = str(Path(__file__).parents[2] / "saved_models" / "mnist")


def serve(*words: str) -> Result:
    return CliRunner().invoke(main, ["serve", *words])


@pytest.fixture
def port() -> Iterator[int]:
    """A free port, and the garbage collector as it was."""
    before = gc.get_threshold()
    with listening("127.0.0.1", 0) as listener:
        number = listener.getsockname()[1]
    yield number
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("number", "host"), [(signal.SIGTERM, "127.0.0.1"), (signal.SIGINT, "0.0.0.0")]
)
def test_it_serves_until_a_signal_and_ends_cleanly(
    number: int, host: str, port: int, wait: Callable[..., None]
) -> None:
    found: dict[str, Any] = {}

    def up() -> bool:
        try:
            found.update(httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=20).json())
        except httpx.HTTPError:
            return False
        return True

    def end() -> None:
        wait(up, 60)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    ending = threading.Thread(target=end)
    ending.start()
    done = serve(MNIST, "--port", str(port), "--host", host)
    ending.join()
    assert done.exit_code == 0, done.output
    assert found == {"status": "ok", "model": "mnist", "version": "1"}
    assert done.stdout == f"serving mnist: http://{host}:{port}/ (Ctrl-C ends it)\n"
    first, *between, last = done.stderr.splitlines()
    assert first == f"model: mnist, version 1, SavedModel ({MNIST}/1)"
    assert last == "ended"
    opened = f"everyone who reaches port {port} of this machine can use the model and its page"
    assert between == ([] if host == "127.0.0.1" else [f"--host 0.0.0.0: {opened}"])
    assert signal.getsignal(number) == before


def test_a_wrong_call_is_one_line(tmp_path: Path) -> None:
    with listening("127.0.0.1", 0) as listener:
        taken = str(listener.getsockname()[1])
        for words, code, says in (
            ((MNIST, "--port", taken), 1, f"--port {taken}: is taken; choose another, or 0"),
            ((MNIST, "--host", "no.such.host.invalid"), 2, "no.such.host.invalid: no such host"),
            ((MNIST, "--host", "a..b"), 2, "--host a..b: no such host"),
            ((MNIST, "--host", "x" * 64), 2, "xxx: no such host"),
            ((MNIST, "--port", "0", "--host", "192.0.2.1"), 2, "no address of this machine"),
            ((MNIST, "--port", "70000"), 2, "70000"),
            ((str(tmp_path / "nix"), "--port", "0"), 2, "no such folder"),
            ((str(tmp_path), "--port", "0"), 2, "no model there"),
        ):
            done = serve(*words)
            assert done.exit_code == code, done.output
            assert says in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert done.stdout == ""


def test_connections_send_at_once() -> None:
    """Without this a client waits for 40 ms between head and body of each answer."""
    with (
        listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "kerascw.commands.serve.find_spec", lambda name: found(name) if name != "uvicorn" else None
    )
    done = serve(MNIST)
    assert done.exit_code == 1
    assert done.stderr == (
        "kerascw: to serve a model, uvicorn is needed, which is not installed; "
        "next: pip install 'kerascw[serve]'\n"
    )
