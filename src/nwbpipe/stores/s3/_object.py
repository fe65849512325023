"""Reading an object by ranges, through a cache of blocks. What is read is one state of it, told by its ETag."""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from typing import Any, Protocol

from nwbpipe.errors import NwbpipeError
from nwbpipe.stores.s3._address import Address
from nwbpipe.stores.s3._client import code_of, explain_error, is_s3_error

BLOCK = 2**20
_CACHED = 64  # blocks
_AT_ONCE = 16  # blocks that one request may fetch


class RemoteObject:
    """One state of an object, read by ranges.

    Parameters
    ----------
    client
        boto3's.
    address : Address
        The object.

    Attributes
    ----------
    size : int
        In bytes.
    etag : str
        By which S3 tells this state from others.
    failure : NwbpipeError or None
        What went wrong in reading. HDF5 may hide it from its caller: it is to be looked at before a commit.

    Raises
    ------
    FileAccessError
        If it can't be read.
    """

    def __init__(self, client: Any, address: Address) -> None:
        self.client, self.address = client, address
        self.failure: NwbpipeError | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.RLock()
        self.etag, self.size = "", 0
        try:
            answer = client.get_object(Bucket=address.bucket, Key=address.key, Range=f"bytes=0-{BLOCK - 1}")
            first = answer["Body"].read()
        except Exception as error:
            if code_of(error) == "InvalidRange":  # an empty object
                return
            if not is_s3_error(error):
                raise
            raise explain_error(error, address, "opening the object", client) from None
        self.etag = answer["ETag"]
        total = re.search(r"/(\d+)$", answer.get("ContentRange", ""))
        self.size = int(total[1]) if total else len(first)
        self._blocks[0] = first[:BLOCK]

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on.

        Raises
        ------
        ConflictError
            If the object is no longer the one that was opened.
        FileAccessError
            If it can't be read.
        """
        stop = min(offset + size, self.size)
        parts = []
        with self._lock:
            while offset < stop:
                number, start = divmod(offset, BLOCK)
                if number not in self._blocks:
                    self._fetch(number, -(-stop // BLOCK))
                self._blocks.move_to_end(number)
                part = self._blocks[number][start : start + stop - offset]
                parts.append(part)
                offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def tag(self) -> str:
        """The ETag: see `nwbpipe.stores.RangedFile`."""
        return self.etag

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, with one request of their own, past the cache.

        Raises
        ------
        ConflictError
            If the object is no longer the one that was opened.
        FileAccessError
            If it can't be read.
        """
        try:
            answer = self.client.get_object(
                Bucket=self.address.bucket,
                Key=self.address.key,
                Range=f"bytes={start}-{stop - 1}",
                IfMatch=self.etag,
            )
            data: bytes = answer["Body"].read()
            if len(data) != stop - start or answer["ETag"] != self.etag:
                raise OSError(f"{len(data)} bytes instead of {stop - start}, or of another object")
        except Exception as error:
            if not is_s3_error(error) and not isinstance(error, OSError):
                raise
            self.failure = explain_error(error, self.address, "reading", self.client)
            raise self.failure from None
        return data

    def _fetch(self, first: int, most: int) -> None:
        """Fetch the blocks from `first` on that are missing and wanted (below `most`), with one request."""
        end = first + 1
        while end < min(most, first + _AT_ONCE) and end not in self._blocks:
            end += 1
        data = self.fetch(first * BLOCK, min(end * BLOCK, self.size))
        for number in range(first, end):
            place = (number - first) * BLOCK
            self._blocks[number] = data[place : place + BLOCK]
        while len(self._blocks) > _CACHED:
            oldest = next(iter(self._blocks))
            if first <= oldest < end:  # never what was just asked for
                self._blocks.move_to_end(oldest)
                continue
            del self._blocks[oldest]


class ByteSource(Protocol):
    """What a `ObjectReader` reads: a `RemoteObject`, or a `nwbpipe.stores.CachedFile`."""

    size: int

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""


class ObjectReader(io.RawIOBase):
    """A file object over an object of S3, for reading.

    Parameters
    ----------
    source : RemoteObject or CachedFile
        What it reads.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as in `io.IOBase`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it has positions."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on."""
        data = self._source.read_at(len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
