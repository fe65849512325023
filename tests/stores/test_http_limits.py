"""A server of HTTP that is silent, drips or lies about the length holds nothing up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from nwbpipe.errors import NwbpipeError
from nwbpipe.stores import _fsspec, open_store

pytest.importorskip("aiohttp")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nAccept-Ranges: bytes\r\n\r\n"


@contextmanager
def serve(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection with a function; yields the server's URL."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = server.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)
            ended.wait(5)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        ended.set()
        server.close()


def be_silent(_: socket.socket) -> None:
    pass


def drip(connection: socket.socket) -> None:
    connection.sendall(HEAD % 10**6)
    for _ in range(50):
        time.sleep(0.1)
        connection.sendall(b"x")


def lie(connection: socket.socket) -> None:
    connection.sendall(HEAD % 10**12 + b"x" * 100)
    connection.close()


@pytest.mark.parametrize("answer", [be_silent, drip, lie])
def test_a_bad_server_ends_in_an_error_soon(
    answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fsspec, "HTTP_SILENT_S", 0.5)
    monkeypatch.setattr(_fsspec, "HTTP_TOTAL_S", 1.0)
    began = time.monotonic()
    with serve(answer) as url, pytest.raises(NwbpipeError):
        open_store(url).read_bytes("a.nwb")
    assert time.monotonic() - began < 20
