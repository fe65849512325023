"""One state of a remote file, read by ranges, through blocks in memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from nwbpipe.errors import FileAccessError, NwbpipeError
from nwbpipe.stores._urls import public_url

if TYPE_CHECKING:
    from nwbpipe.stores._store import Store

BLOCK = 2**20
_BLOCKS = 64  # in memory
_AT_ONCE = 16  # blocks that one request may fetch


class RangedFile:
    """One state of a file of a store, read by ranges.

    Parameters
    ----------
    store : Store
    path : str
        The file, relative to the store's root.

    Attributes
    ----------
    size : int
        In bytes.
    tag : str
        Version of the file (ETag): see `StoreEntry.tag`.
    metadata : mapping of str to str
        What the store keeps beside the bytes; empty where it keeps nothing.
    failure : NwbpipeError or None
        First error of a read. HDF5 may hide it from its caller: look at it before you believe what was read.
    reads_ahead : bool
        Whether a read that goes on where the last request ended fetches some blocks more: for what is read in order.
        False by default.

    Raises
    ------
    FileAccessError
        If the file does not exist or can't be read.
    """

    reads_ahead = False

    def __init__(self, store: Store, path: str) -> None:
        entry = store.stat(path)
        self._store, self._path = store, path
        self._set_state(entry.size, entry.tag)

    def _set_state(
        self, size: int, tag: str, start: bytes = b"", metadata: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Set the state that is read; `start` is the first block, where it was read already."""
        self.size, self.tag, self.metadata = size, tag, metadata
        self.failure: NwbpipeError | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        if start:
            self._blocks[0] = start
        self._next = -1  # block after the last that was fetched
        self._lock = threading.RLock()

    @property
    def location(self) -> str:
        """URL or path, for messages."""
        return public_url(self._store.location(self._path))

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`, with one request; any number of threads may ask at once.

        Raises
        ------
        ConflictError
            If the file is no longer in that state.
        FileAccessError
            If it can't be read.
        """
        try:
            data = self._request(start, stop)
            if len(data) != stop - start:
                msg = "the store returned less than was asked for"
                expected, found = f"bytes {start} to {stop}", f"{len(data)} bytes"
                raise FileAccessError(msg, where=self.location, expected=expected, found=found, hint="try again")
        except NwbpipeError as error:
            self.failure = error
            raise
        return data

    def _request(self, start: int, stop: int) -> bytes:
        return self._store.read_range(self._path, start, stop, if_tag=self.tag)

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on, through blocks in memory; errors are those of `fetch`."""
        stop = min(offset + size, self.size)
        parts = []
        with self._lock:
            while offset < stop:
                number, start = divmod(offset, BLOCK)
                if number not in self._blocks:
                    self._fetch_blocks(number, -(-stop // BLOCK))
                self._blocks.move_to_end(number)
                part = self._blocks[number][start : start + stop - offset]
                parts.append(part)
                offset += len(part)
            if self.reads_ahead and stop == self.size:  # a session may have hundreds of files that are read in order
                while len(self._blocks) > 1:
                    self._blocks.popitem(last=False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fetch_blocks(self, first: int, end: int) -> None:
        """Fetch the missing blocks from `first` on, and below `end`, with one request."""
        if self.reads_ahead and first == self._next:
            end = -(-self.size // BLOCK)
        last = first + 1
        while last < min(end, first + _AT_ONCE) and last not in self._blocks:
            last += 1
        data = self.fetch(first * BLOCK, min(last * BLOCK, self.size))
        self._next = last
        for number in range(first, last):
            start = (number - first) * BLOCK
            self._blocks[number] = data[start : start + BLOCK]
        while len(self._blocks) > _BLOCKS:
            oldest = next(iter(self._blocks))
            if first <= oldest < last:  # never what was just asked for
                self._blocks.move_to_end(oldest)
                continue
            del self._blocks[oldest]


class ByteSource(Protocol):
    """Bytes that are read by ranges: a `RangedFile`, a `nwbpipe.stores.CachedFile`, or a new version's."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; called from several threads."""


class RangeReader(io.RawIOBase):
    """A file object for reading, over bytes that are read by ranges.

    Parameters
    ----------
    source : RangedFile, CachedFile or FileChanges
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
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it has positions."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on."""
        data = self._source.read_at(len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
