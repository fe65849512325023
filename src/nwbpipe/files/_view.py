"""A copy-on-write view of a file: it reads and writes like the file, which stays as it is.

h5py opens it as a file object. Written pages are kept aside, in memory up to a limit and then in a nameless
temporary file beside the target.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nwbpipe.stores import ByteSource

PAGE = 64 * 1024


class View:
    """A file object over the unchanged bytes of an open file.

    Parameters
    ----------
    old : int or Source
        The file, open for reading (its descriptor, which its owner closes), or what stands for it.
    folder : Path
        Where written pages go that don't fit in memory.
    page : int
        Size of a page, in bytes.
    memory : int
        How many bytes of written pages are kept in memory.
    """

    def __init__(self, old: int | ByteSource, folder: Path, *, page: int = PAGE, memory: int = 64 * 2**20) -> None:
        self._old = old
        self._folder = folder
        self._page = page
        self._most = max(memory // page, 1)
        self.old_end = os.fstat(old).st_size if isinstance(old, int) else old.size
        self._end = self.old_end
        self._kept = self.old_end  # below this, pages that were not written are the file's
        self._position = 0
        self._pages: dict[int, bytearray] = {}  # in memory
        self._spilled: dict[int, int] = {}  # page → its place in the spill file
        self._places = 0
        self._spill: IO[bytes] | None = None
        self.failure: OSError | None = None
        self.frozen = False

    # The file object ----------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in `io.IOBase`."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read on from the position."""
        data = self.read_new(self._position, self._end - self._position if size < 0 else size)
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the position on."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: memoryview | bytes) -> int:
        """Write at the position.

        A failure (no space for the spill file) is raised once and kept; what comes after it is taken and
        dropped, so that HDF5 can close the file. Nothing of it can be committed.
        """
        remaining = memoryview(data).cast("B")
        size = len(remaining)
        if self.frozen or self.failure is not None:
            self._position += size
            return size
        try:
            offset = self._position
            while remaining:
                number, start = divmod(offset, self._page)
                part = remaining[: self._page - start]
                self._write_page(number, start, part)
                remaining, offset = remaining[len(part) :], offset + len(part)
        except OSError as error:
            self.failure = error
            raise
        self._position += size
        self._end = max(self._end, self._position)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        size = self._position if size is None else size
        if self.frozen or self.failure is not None:
            return size
        if size < self._end:
            for number in [index for index in (*self._pages, *self._spilled) if index * self._page >= size]:
                self._pages.pop(number, None)
                self._spilled.pop(number, None)
            number, start = divmod(size, self._page)
            if start and number in self._pages:
                self._pages[number][start:] = bytes(self._page - start)
            elif start and number in self._spilled:
                self._write_page(number, start, memoryview(bytes(self._page - start)))
            self._kept = min(self._kept, size)
        self._end = size
        return size

    def flush(self) -> None:
        """Do nothing: nothing of this is durable before the commit."""

    def close(self) -> None:
        """Forget what was written."""
        self._pages.clear()
        self._spilled.clear()
        if self._spill is not None:
            self._spill.close()

    # What changed -------------------------------------------------------------------------------------

    @property
    def new_end(self) -> int:
        """Size of the new file."""
        return self._end

    def changed_pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) of the pages below the old end, and below the new, that differ from the file."""
        limit = min(self.old_end, self._end)
        numbers = {index for index in (*self._pages, *self._spilled) if index * self._page < limit}
        numbers.update(range(self._kept // self._page, -(-limit // self._page)))
        for number in sorted(numbers):
            offset = number * self._page
            new = self.read_new(offset, min(self._page, limit - offset))
            if new != self._read_unchanged(len(new), offset):
                yield offset, new

    def tail(self) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (offset, bytes) of the pages written past the old end; zeros fill what lies between."""
        for number in sorted((*self._pages, *self._spilled)):
            offset = number * self._page
            start, stop = max(self.old_end - offset, 0), min(self._end - offset, self._page)
            if start < stop:
                cached = self._pages.get(number)
                page = memoryview(self._load(number) if cached is None else cached)
                yield offset + start, page[start:stop]

    # Pages --------------------------------------------------------------------------------------------

    def read_new(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        stop = min(offset + size, self._end)
        parts = []
        while offset < stop:
            number, start = divmod(offset, self._page)
            if number in self._pages:
                part = bytes(memoryview(self._pages[number])[start : start + stop - offset])
            elif number in self._spilled:
                part = self._load(number)[start : start + stop - offset]
            else:
                end = number + 1  # as many untouched pages at once as there are
                while end * self._page < stop and end not in self._pages and end not in self._spilled:
                    end += 1
                part = self._read_page(offset, min(stop, end * self._page) - offset)
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_page(self, offset: int, size: int) -> bytes:
        data = self._read_unchanged(max(min(size, self._kept - offset), 0), offset)
        return data + bytes(size - len(data))

    def _read_unchanged(self, size: int, offset: int) -> bytes:
        return os.pread(self._old, size, offset) if isinstance(self._old, int) else self._old.read_at(size, offset)

    def _write_page(self, number: int, start: int, part: memoryview) -> None:
        if number in self._spilled:
            self._store(part, self._spilled[number] * self._page + start)
            return
        page = self._pages.get(number)
        if page is None:
            if len(part) == self._page:
                page = bytearray(part)
            else:
                page = bytearray(self._read_page(number * self._page, self._page))
                page[start : start + len(part)] = part
            if len(self._pages) >= self._most:
                self._spill_oldest()
            self._pages[number] = page
        else:
            page[start : start + len(part)] = part

    def _spill_oldest(self) -> None:
        number = next(iter(self._pages))
        slot, self._places = self._places, self._places + 1
        self._store(memoryview(self._pages[number]), slot * self._page)
        self._spilled[number] = slot
        del self._pages[number]

    def _store(self, part: memoryview, offset: int) -> None:
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        while part:
            written = os.pwrite(self._spill.fileno(), part, offset)
            part, offset = part[written:], offset + written

    def _load(self, number: int) -> bytes:
        assert self._spill is not None
        data = os.pread(self._spill.fileno(), self._page, self._spilled[number] * self._page)
        return data + bytes(self._page - len(data))
