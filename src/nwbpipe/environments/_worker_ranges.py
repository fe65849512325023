"""Reads a session file that is not on this machine through the parent, in the tool's own Python.

The parent serves ranges of it (see `nwbpipe.stores`). Its path in the request is that of a stand-in which is no HDF5
file; `h5py.File` of that path, in the worker or in processes that it starts (fork or spawn), reads from the parent.
Standard library and h5py only, Python 3.9.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
from typing import Any


def connect_to_parent(served: dict[str, Any]) -> socket.socket:
    """Connect to the server of ranges: at its port, or in a container, where it has none, at its socket."""
    if served.get("port"):
        connection = socket.create_connection(("127.0.0.1", served["port"]), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    name, address = served["socket"].rpartition("/")[::2]
    folder = os.open(name, os.O_RDONLY)
    connection = socket.socket(socket.AF_UNIX)
    try:  # not by its path, which may be longer than the 107 bytes that an address can have
        connection.settimeout(30)
        connection.connect(f"/proc/self/fd/{folder}/{address}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


class ServedFile(io.RawIOBase):
    """A file that the parent serves by ranges; each process and each thread has a connection of its own."""

    def __init__(self, served: dict[str, Any], number: int) -> None:
        self._served = served
        self._hello = bytes.fromhex(served["token"]) + struct.pack(">I", number)
        self._local = threading.local()
        self._open: list[socket.socket] = []
        self._position = 0
        self._size = 0
        self._connection()

    def _connection(self) -> socket.socket:
        if getattr(self._local, "pid", None) != os.getpid():  # one that came through fork is the other process's
            connection = connect_to_parent(self._served)
            self._open.append(connection)
            connection.settimeout(None)
            connection.sendall(self._hello)
            self._size = struct.unpack(">Q", self._receive(connection, 8))[0]
            self._local.connection, self._local.pid = connection, os.getpid()
        current: socket.socket = self._local.connection
        return current

    def _receive(self, connection: socket.socket, size: int) -> bytes:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            part = connection.recv_into(view[got:])
            if not part:
                raise OSError("the process that serves the session file has gone")
            got += part
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on."""
        view = memoryview(buffer).cast("B")
        size = min(len(view), max(self._size - self._position, 0), 2**30)
        if not size:
            return 0
        connection = self._connection()
        connection.sendall(struct.pack(">QI", self._position, size))
        head = struct.unpack(">i", self._receive(connection, 4))[0]
        data = self._receive(connection, abs(head))
        if head < 0:
            raise OSError(data.decode("utf-8", "replace"))
        view[:head] = data
        self._position += head
        return int(head)

    def close(self) -> None:
        """End the connections."""
        for connection in self._open:
            connection.close()
        super().close()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as in `io.IOBase`."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the stream can seek."""
        return True


def open_served(served: dict[str, Any], path: Any) -> ServedFile | None:
    """Open a file that the parent serves under the path of its stand-in; None if it serves none of that path."""
    numbers = {os.path.realpath(name): number for name, number in served["files"].items()}
    number = numbers.get(os.path.realpath(path))
    return None if number is None else ServedFile(served, number)


def read_through_parent(served: dict[str, Any]) -> None:
    """Let `h5py.File` read the files that the parent serves.

    Parameters
    ----------
    served : dict
        ``port`` or ``socket``, ``token``, and ``files``: numbers by path.
    """
    import h5py

    plain = h5py.File.__init__

    def init(self: Any, name: Any, mode: str = "r", *args: Any, **options: Any) -> None:
        stream = open_served(served, name) if isinstance(name, (str, os.PathLike)) else None
        if stream is not None:
            if mode != "r":
                raise OSError("a session file that is not on this machine can be read only")
            name = stream
            options.pop("locking", None)
        plain(self, name, mode, *args, **options)

    h5py.File.__init__ = init
