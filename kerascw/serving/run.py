"""Listen at a port and serve until a signal ends it."""

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import uvicorn

from kerascw.errors import CallError, KerascwError
from kerascw.serving.app import Limits, Server
from kerascw.serving.shelf import Shelf

_LOOK = 2.0
"""Seconds between two looks for a new version."""


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that has this address; port 0 is any that is free.

    Raises KerascwError: the port is taken, or may not be used; CallError: no address of this
    machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
        # its connections have this too. Else the body of an answer waits for the client's
        # acknowledgement of the head, 40 ms: asyncio sees to that only for sockets of its own
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (socket.gaierror, UnicodeError):  # the second: a label that is empty or too long
        raise CallError(f"--host {host}: no such host") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"--port {port}: is taken; choose another, or 0 for a free one"
            raise KerascwError(reason) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise CallError(f"--host {host}: no address of this machine") from None
        raise KerascwError(f"--host {host}, --port {port}: {error.strerror}") from None


def address(listener: socket.socket) -> str:
    """Return the URL of the page."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def web_server(
    shelf: Shelf,
    *,
    limits: Limits | None = None,
    every: float = _LOOK,
    say: Callable[[str], None] = lambda _: None,
) -> uvicorn.Server:
    """Make what serves a shelf: ``.run(sockets=[listening(host, port)])``.

    It looks for new versions ``every`` so many seconds, and ``say`` is called with a line about
    each.
    """
    limits = limits or Limits()
    config = uvicorn.Config(
        Server(shelf, limits, every=every, say=say).app,
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # its own would close all handlers that there are; absl's takes standard error with it
        log_config=None,
        log_level="error",
        timeout_graceful_shutdown=ceil(2 * limits.seconds),
    )
    return uvicorn.Server(config)


@contextmanager
def signals_end_it() -> Iterator[None]:
    """Let SIGINT and SIGTERM end uvicorn's server, and nothing after it has ended.

    It raises them again when it is done, which would end the process by a signal.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
