"""Serves ranges of remote files to processes on this machine, which hold no credentials and need no network.

A TCP port of the loopback interface. Who connects sends a token of 32 bytes, which was made for this server, and the
number of a file (4 bytes), and gets the file's size (8 bytes). Then: offset (8) and size (4) → a number of bytes (4)
and the bytes; a negative number means that so many bytes of UTF-8 follow that say what went wrong. Big-endian all.
The other side is in `nwbpipe.environments` (``_worker``), as a tool's Python has no nwbpipe.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import socketserver
import struct
import threading
from collections.abc import Sequence

from nwbpipe.errors import NwbpipeError
from nwbpipe.stores._ranged import ByteSource

TOKEN_BYTES = 32
_LARGEST = 2**30


class RangeServer:
    """Serves files by ranges while its block lasts.

    Parameters
    ----------
    files : sequence of Readable
        What is served, by number.

    Attributes
    ----------
    failure : NwbpipeError or None
        What went wrong in reading first: HDF5, on the other side, may hide it. To be looked at before what was
        computed is believed.
    """

    def __init__(self, files: Sequence[ByteSource]) -> None:
        self.failure: NwbpipeError | None = None
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._files = list(files)
        self._server = _Server(("127.0.0.1", 0), _make_handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def access(self) -> dict[str, object]:
        """Port and token that a client process needs, as JSON values."""
        return {"port": self._server.server_address[1], "token": self._token.hex()}

    def __enter__(self) -> RangeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

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
