"""Tell a full disk from other failures, in one error for whatever was being written."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nwbpipe.errors import FileAccessError, NwbpipeError

_FULL = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "your quota on the disk is used up",
    errno.EFBIG: "no space: the file system, or a limit (ulimit -f), refuses a file of that size",
    errno.EROFS: "the disk is mounted read-only",
}


def find_full_disk(error: BaseException) -> int | None:
    """Return the errno of a full disk, which HDF5 tells in its text alone; None for another error."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        match = re.search(r"errno = (\d+)", str(error))
        number = int(match[1]) if match else None
    return number if number in _FULL else None


def full_disk_error(
    folder: Path, number: int = errno.ENOSPC, *, needed: int | None = None, hint: str | None = None
) -> FileAccessError:
    """Return the error for a disk that is full.

    Parameters
    ----------
    folder : Path
        Folder on that disk.
    number : int
        The system's errno.
    needed : int, optional
        Bytes that were to be written.
    hint : str, optional
        What else helps than to free space.
    """
    free = None
    with suppress(OSError):
        free = f"{shutil.disk_usage(folder).free / 1e6:.2f} MB free"
    return FileAccessError(
        _FULL.get(number, os.strerror(number)),
        where=str(folder),
        expected=f"{needed / 1e6:.2f} MB" if needed else None,
        found=free,
        hint=hint or "free space on that disk; nothing half-done was left",
    )


@contextmanager
def explain_full_disk(folder: Path, hint: str | None = None) -> Iterator[None]:
    """Turn the error of a full disk, the system's or HDF5's, into a `FileAccessError` that names the folder."""
    try:
        yield
    except NwbpipeError:
        raise
    except (OSError, RuntimeError) as error:
        number = find_full_disk(error)
        if number is None:
            raise
        name = getattr(error, "filename", None)
        place = Path(os.fsdecode(name)).parent if isinstance(name, str | bytes) else folder
        raise full_disk_error(place, number, hint=hint) from error
