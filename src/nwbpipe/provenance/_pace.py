"""Keep the hash of a raw file beside the conversion that reads it, so that the disk is read once.

Either would run away from the other: by the time the second comes to a place, a file that is larger than the memory
has lost it from the cache. So the hash waits for pages that are not in the cache until the conversion has read them,
and the conversion waits while the hash has fallen behind. What the system drops before the hash comes to it is read
again at once. Neither waits for long: where the conversion reads another file, or in another order, the hash goes on
by itself.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

import numpy as np
import numpy.typing as npt

BLOCK = 4 * 2**20
_PIECE = 2**18
#: The hash stays so far behind the conversion: what the system reads ahead for the hash is in the cache already.
_BEHIND = 16 * 2**20
#: Bytes that the conversion reads, from where the hash had caught up, before it waits for the hash.
_LAG = 32 * 2**20
#: Bytes that the conversion reads while the hash waits for pages, before the hash reads these by itself.
_PATIENCE = 96 * 2**20
_PATIENCE_S = 5.0
#: So far after a page that is not in the cache pages are looked for that the conversion has read.
_SIGHT = 128 * 2**20


class ReadingPace:
    """The pace of a conversion and of the hash of its raw files, each in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._converted = self._hashed = 0
        self._caught_up: tuple[int, int] | None = None  # both counts when the hash last lacked pages
        self._has_ended = False

    def end(self) -> None:
        """Tell that the conversion has read all it needs."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def advance(self, count: int) -> None:
        """Tell that the conversion has read so many bytes; wait while the hash is behind."""
        with self._changed:
            self._converted += count
            self._changed.notify_all()
            self._changed.wait_for(self._is_close, _PATIENCE_S)

    def _is_close(self) -> bool:
        if self._caught_up is None:
            return True
        converted, hashed = self._caught_up
        return (self._converted - converted) - (self._hashed - hashed) <= _LAG

    def iter_blocks(self, file: BufferedReader) -> Iterator[memoryview]:
        """Yield a file in pieces, each once the conversion has read it or is not about to; valid until the next."""
        piece = memoryview(bytearray(_PIECE))  # small enough for the processor's cache, and always the same memory
        with _open_residency(file) as residency:
            try:
                remaining = 0
                while True:
                    if residency is not None and remaining <= 0:
                        self._wait_for_pages(residency, file.tell())
                        remaining = BLOCK
                    if not (size := file.readinto(piece)):
                        return
                    yield piece[:size]
                    remaining -= size
                    with self._changed:
                        self._hashed += size
                        self._changed.notify_all()
            finally:
                with self._changed:
                    self._caught_up = None
                    self._changed.notify_all()

    def _wait_for_pages(self, residency: _Residency, offset: int) -> None:
        if residency.is_cached(offset):
            residency.reads_on = False
            return
        if residency.reads_on:
            return
        with self._changed:
            began = latest = self._converted
            progress = time.monotonic()
            while not self._has_ended and not residency.is_cached(offset):
                if distance := residency.measure_front(offset):
                    self._caught_up = (self._converted - distance, self._hashed)
                    return
                self._caught_up = (self._converted, self._hashed)
                self._changed.notify_all()
                if self._converted != latest:
                    latest, progress = self._converted, time.monotonic()
                if latest - began > _PATIENCE or time.monotonic() - progress > _PATIENCE_S:
                    residency.reads_on, self._caught_up = True, None
                    return
                self._changed.wait(0.02)


class _Residency:
    """Tells which blocks of a file are in the page cache, without reading them."""

    def __init__(self, pages: mmap.mmap) -> None:
        self._bytes = np.frombuffer(pages, np.uint8)
        self._flags = np.zeros(_SIGHT // mmap.PAGESIZE, np.uint8)
        self._library = ctypes.CDLL(None)
        self.reads_on = False  # the hash reads by itself, until it comes to a block that is in the cache

    def is_cached(self, offset: int) -> bool:
        """Return True if the block and what follows it are in the cache, or if the system does not tell."""
        return bool((self._look(offset, BLOCK + _BEHIND) & 1).all())

    def _look(self, offset: int, count: int) -> npt.NDArray[np.uint8]:
        """Return a flag for each page of a stretch; none if the file has ended there, or the system does not tell."""
        count = max(0, min(count, self._bytes.size - offset))
        address = ctypes.c_void_p(self._bytes.ctypes.data + offset)
        if self._library.mincore(address, ctypes.c_size_t(count), ctypes.c_void_p(self._flags.ctypes.data)):
            count = 0
        return self._flags[: -(-count // mmap.PAGESIZE)]

    def measure_front(self, offset: int) -> int:
        """Return how far beyond a block that is not cached the last page is that a conversion has read; 0 if none is.

        Such a block has been read, and dropped since.
        """
        pages = np.flatnonzero(self._look(offset, _SIGHT) & 1)
        distance = int(pages[-1]) * mmap.PAGESIZE if pages.size else 0
        return distance if distance >= BLOCK + _BEHIND else 0

    def close(self) -> None:
        del self._bytes


@contextmanager
def _open_residency(file: BufferedReader) -> Iterator[_Residency | None]:
    """Map a file to ask for its pages; None where the system, or the file's, can't tell."""
    try:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if sys.platform == "linux" else None
    except (OSError, ValueError):  # ValueError: the file is empty
        pages = None
    if pages is None:
        yield None
        return
    residency = _Residency(pages)
    try:
        yield residency
    finally:
        residency.close()
        pages.close()
