"""Write a new HDF5 file so that a full disk is an error, and not a crash.

HDF5 can't close a file whose last writes failed: every object tries again as Python collects it, with hundreds of
lines on stderr, and the library ends in a segmentation fault. So HDF5 writes through a file object that remembers
the first failure, takes everything that follows, and keeps nothing of it; the failure is raised once the file is
closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.disk import create_file, find_full_disk, full_disk_error

# After a failure HDF5 may read its structure back: small writes are kept in memory, up to a limit.
_LARGE, _KEPT = 128 * 1024, 256 * 2**20
_open_sinks: dict[str, FileSink] = {}  # by the file's name


class FileSink:
    """A file object over an open file that survives a failure to write.

    Parameters
    ----------
    descriptor : int
        The file, open for reading and writing; `close` closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self._end = os.fstat(descriptor).st_size
        self._kept: list[tuple[int, bytes]] = []  # written after the failure
        self._kept_bytes = 0
        self.failure: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in `io.IOBase`."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the position on."""
        view = memoryview(buffer).cast("B")
        size = max(min(len(view), self._end - self._position), 0)
        data = bytearray(os.pread(self._descriptor, size, self._position))
        data += bytes(size - len(data))
        for offset, part in self._kept:
            start, stop = max(offset, self._position), min(offset + len(part), self._position + size)
            if start < stop:
                data[start - self._position : stop - self._position] = part[start - offset : stop - offset]
        view[:size] = data
        self._position += size
        return size

    def write(self, data: memoryview | bytes) -> int:
        """Write at the position; what comes after a failure is taken, and not on the disk."""
        view = memoryview(data).cast("B")
        size = len(view)
        if self.failure is None:
            try:
                written = 0
                while written < size:
                    written += os.pwrite(self._descriptor, view[written:], self._position + written)
            except OSError as error:
                self.failure = error
        if self.failure is not None and size <= _LARGE and self._kept_bytes + size <= _KEPT:
            self._kept.append((self._position, bytes(view)))
            self._kept_bytes += size
        self._position += size
        self._end = max(self._end, self._position)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        size = self._position if size is None else size
        if self.failure is None:
            try:
                os.ftruncate(self._descriptor, size)
            except OSError as error:
                self.failure = error
        self._end = size
        return size

    def flush(self) -> None:
        """Do nothing: the file is synced when it is whole."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def raise_failure(name: str) -> None:
    """Raise the failure to write of an open file, between two calls of HDF5, so that nobody goes on for hours."""
    sink = _open_sinks.get(name)
    if sink is not None and sink.failure is not None:
        raise sink.failure


@contextmanager
def open_for_writing(path: Path, mode: str, **options: Any) -> Iterator[h5py.File]:
    """Open an HDF5 file that is being built, so that a failure to write is raised when it is closed.

    Parameters
    ----------
    path : Path
        A working name of ours.
    mode : {"w", "r+"}
        Make a new file, or change one.
    **options
        Of `h5py.File`.

    Raises
    ------
    FileAccessError
        If the disk is full.
    OSError
        If writing fails otherwise.
    """
    descriptor = create_file(path) if mode == "w" else os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    sink = _open_sinks[str(path)] = FileSink(descriptor)
    try:
        file = h5py.File(path, mode, driver="fileobj", fileobj=sink, **options)
        try:
            yield file
        finally:
            file.close()
    except BaseException as error:
        if sink.failure is not None and isinstance(error, Exception):
            raise _explain(path, sink.failure) from None
        raise
    finally:
        del _open_sinks[str(path)]
        sink.close()
    if sink.failure is not None:
        raise _explain(path, sink.failure)


def _explain(path: Path, failure: OSError) -> Exception:
    number = find_full_disk(failure)
    return failure if number is None else full_disk_error(path.parent, number)
