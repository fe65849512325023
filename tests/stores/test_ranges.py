"""The server of ranges: who has the token reads, and learns what went wrong."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.environments._worker_ranges import ServedFile
from nwbpipe.errors import FileAccessError
from nwbpipe.stores import RangeServer


class Content:
    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        self.broken = False

    def read_at(self, size: int, offset: int) -> bytes:
        if self.broken:
            raise FileAccessError("S3 can't be reached", where="s3://b/k")
        return self.data[offset : offset + size]


def served(server: RangeServer, number: int = 0) -> ServedFile:
    return ServedFile(server.access, number)


def test_a_file_is_served(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1000, 300))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(10, 300), compression="gzip")
    data = (tmp_path / "a.h5").read_bytes()
    with RangeServer([Content(b"other"), Content(data)]) as server:
        with served(server, 1) as reader:
            assert reader.read(10) == data[:10]
            assert reader.seek(-10, 2) == len(data) - 10
            assert reader.read() == data[-10:]
            assert reader.read() == b""
        with served(server, 1) as raw, h5py.File(raw, "r") as file:
            assert np.array_equal(file["x"][500:600], values[500:600])
    with pytest.raises(OSError):
        served(server)


@pytest.mark.parametrize("hello", ["token", "number", "short"])
def test_others_get_nothing(hello: str) -> None:
    with RangeServer([Content(b"secret data")]) as server:
        token = bytes.fromhex(str(server.access["token"]))
        words = {"token": b"\0" * 36, "number": token + struct.pack(">I", 7), "short": token[:10]}
        with socket.create_connection(("127.0.0.1", int(str(server.access["port"])))) as connection:
            connection.sendall(words[hello])
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no Unix sockets")
def test_a_container_without_network_reads_by_a_socket_at_any_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a long name " * 12)
    folder.mkdir()
    with RangeServer([Content(b"other"), Content(b"session")], folder) as server:
        access = {name: value for name, value in server.access.items() if name != "port"}
        assert access["socket"] == str(folder / "ranges.socket")
        with ServedFile(access, 1) as reader:
            assert reader.read() == b"session"
        with pytest.raises(OSError, match="has gone"):
            ServedFile(access | {"token": "00" * 32}, 1)
    assert list(folder.iterdir()) == []


def test_a_failure_reaches_the_reader_and_is_kept() -> None:
    content: Any = Content(b"x" * 1000)
    with RangeServer([content]) as server:
        with served(server) as reader:
            content.broken = True
            with pytest.raises(OSError, match="can't be reached"):
                reader.read(10)
            assert isinstance(server.failure, FileAccessError)
            content.broken = False
            assert reader.read(10) == b"x" * 10
        assert server.failure is not None
