"""The lock that writers of one file share, and errors of the operating system in words of ours."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.disk import refuse_special
from nwbpipe.errors import FileAccessError, LockedFileError, NwbpipeError

_POLL, _COURTESY = 0.005, 0.02  # seconds
_released: dict[Path, float] = {}  # when this process let a lock go

_REMEDIES = {
    errno.ENOSPC: "free space on that disk; the file is as it was",
    errno.EDQUOT: "free space within your quota; the file is as it was",
    errno.EFBIG: "the file system or a limit (ulimit -f) refuses a file of that size; the file is as it was",
    errno.EACCES: "ask for write permission on the file and its folder",
    errno.EPERM: "ask for write permission on the file and its folder",
    errno.EROFS: "the disk is mounted read-only",
    errno.ENOENT: "create the folder first",
    errno.ELOOP: "remove the symbolic link that lies there",
    errno.ENAMETOOLONG: "give the file a shorter name: nwbpipe needs some 50 bytes more for its working files",
}


@contextmanager
def translate_access_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn an operating system's error into a `FileAccessError` that names the file and a remedy."""
    try:
        yield
    except NwbpipeError:
        raise
    except OSError as error:
        msg = f"{doing} failed: {error.strerror or error}"
        hint = _REMEDIES.get(error.errno or 0, "see the system's message above")
        raise FileAccessError(msg, where=str(path), hint=hint) from error


def lock_path(path: Path) -> Path:
    """Return where the writers' lock of a file is; nwbinspector takes every ``*.nwb*`` in a folder for a session."""
    return path.with_name(f".{path.stem}{path.suffix.replace('.', '_')}.lock")


def _let_others_go_first(path: Path) -> None:
    """Wait a moment before this process takes a lock again that it has just let go.

    Processes that wait look every few milliseconds. One that commits in a loop would take the lock again before any
    of them looks, and they would wait for ever.
    """
    pause = _released.get(path, 0.0) + _COURTESY - time.monotonic()
    if pause > 0:
        time.sleep(pause)


@contextmanager
def hold_lock(path: Path, timeout: float = 60.0) -> Iterator[None]:
    """Hold the writers' lock of the file `path`.

    The lock is the operating system's, on a hidden file beside `path`: it ends with the process that holds it.

    Parameters
    ----------
    path : Path
        The file to be written; it need not exist.
    timeout : float
        Seconds to wait for another writer.

    Raises
    ------
    LockedFileError
        If another process still holds it after `timeout`.
    """
    with translate_access_errors(path, "locking"):
        refuse_special(lock_path(path))
        lock = FileLock(lock_path(path))
        try:
            _let_others_go_first(path)
            lock.acquire(timeout=timeout, poll_interval=_POLL)
        except Timeout as error:
            msg = "another process is writing this file"
            raise LockedFileError(
                msg,
                where=str(path),
                expected=f"the lock within {timeout:g} s",
                hint="wait for it to end, or give more time",
            ) from error
    try:
        yield
    finally:
        lock.release()
        _released[path] = time.monotonic()
