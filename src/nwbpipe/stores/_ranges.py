"""Serves ranges of remote files to processes on this machine, which hold no credentials and need no network.

A TCP port of the loopback interface, and for containers, which have none of the machine's network, a Unix socket in a
folder that they see. Who connects sends a token of 32 bytes, which was made for this server, and the
number of a file (4 bytes), and gets the file's size (8 bytes). Then: offset (8) and size (4) → a number of bytes (4)
and the bytes; a negative number means that so many bytes of UTF-8 follow that say what went wrong. Big-endian all.
The other side is in `nwbpipe.environments` (``_worker``), as a tool's Python has no nwbpipe.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nwbpipe.errors import NwbpipeError
from nwbpipe.stores._ranged import ByteSource

TOKEN_BYTES = 32
SOCKET = "ranges.socket"
_LARGEST = 2**30


class RangeServer:
    """Serves files by ranges while its block lasts.

    Parameters
    ----------
    files : sequence of Readable
        What is served, by number.
    folder : Path, optional
        A private folder for a Unix socket. Where its file system takes none, or the system knows none, there is only
        the port.

    Attributes
    ----------
    failure : NwbpipeError or None
        What went wrong in reading first: HDF5, on the other side, may hide it. To be looked at before what was
        computed is believed.
    """

    def __init__(self, files: Sequence[ByteSource], folder: Path | None = None) -> None:
        self.failure: NwbpipeError | None = None
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._files = list(files)
        port = _Server(("127.0.0.1", 0), _make_handler(self))
        self._port = port.server_address[1]
        self._servers: list[socketserver.BaseServer] = [port]
        self._socket = None if folder is None else folder / SOCKET
        if self._socket is not None:
            try:
                self._servers.append(_listen_at(self._socket, _make_handler(self)))
            except (OSError, AttributeError):
                self._socket = None
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True) for server in self._servers
        ]

    @property
    def access(self) -> dict[str, object]:
        """Port, token and, where there is one, path of the socket that a client process needs, as JSON values."""
        socket_path = {} if self._socket is None else {"socket": str(self._socket)}
        return {"port": self._port, "token": self._token.hex(), **socket_path}

    def __enter__(self) -> RangeServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.unlink()

    def admits(self, token: bytes) -> bool:
        """Return True if the token is this server's."""
        return hmac.compare_digest(token, self._token)

    def file(self, number: int) -> ByteSource | None:
        """Return a file by its number."""
        return self._files[number] if number < len(self._files) else None

    def read(self, file: ByteSource, size: int, offset: int) -> bytes:
        """Read a range; what goes wrong is noted, and raised."""
        try:
            return file.read_at(size, offset)
        except Exception as error:
            if self.failure is None:
                if not isinstance(error, NwbpipeError):
                    self.failure = NwbpipeError("serving a remote file failed", found=type(error).__name__)
                else:
                    self.failure = error
            raise self.failure from None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


def _listen_at(path: Path, handler: type[socketserver.BaseRequestHandler]) -> socketserver.BaseServer:
    """Listen at a Unix socket.

    Raises
    ------
    OSError, AttributeError
        The file system, or the system, has no such sockets.
    """

    class UnixServer(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

    path.unlink(missing_ok=True)  # of a killed process: the folder is ours
    with _shorten(path) as address:
        return UnixServer(address, handler)


@contextmanager
def _shorten(path: Path) -> Iterator[str]:
    """Yield an address of a socket's path: on Linux one that never reaches the limit of 107 bytes."""
    if not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _make_handler(served: RangeServer) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            self.request.settimeout(10)
            hello = _receive_exactly(self.request, TOKEN_BYTES + 4)
            file = served.file(int.from_bytes(hello[TOKEN_BYTES:], "big")) if hello else None
            if hello is None or not served.admits(hello[:TOKEN_BYTES]) or file is None:
                return
            self.request.settimeout(None)
            if self.request.family == socket.AF_INET:
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.request.sendall(struct.pack(">Q", file.size))
            while asked := _receive_exactly(self.request, 12):
                offset, size = struct.unpack(">QI", asked)
                try:
                    data = served.read(file, min(size, _LARGEST), offset)
                    head = len(data)
                except NwbpipeError as error:
                    data = str(error).encode()[:4096]
                    head = -len(data)
                try:
                    self.request.sendall(struct.pack(">i", head) + data)
                except OSError:  # the other side was stopped
                    return

    return Handler


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    """Receive so many bytes; None if the other side has gone."""
    parts = bytearray()
    while len(parts) < size:
        try:
            part = connection.recv(size - len(parts))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
