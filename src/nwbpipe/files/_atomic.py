"""Files that appear whole or not at all, and the lock that writers of one file share."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.errors import DamagedFileError, FileAccessError, LockedFileError, NwbpipeError, OverwriteError

_REMEDIES = {
    errno.ENOSPC: "free space on that disk; the file is as it was",
    errno.EDQUOT: "free space within your quota; the file is as it was",
    errno.EFBIG: "the file system or a limit (ulimit -f) refuses a file of that size; the file is as it was",
    errno.EACCES: "ask for write permission on the file and its folder",
    errno.EPERM: "ask for write permission on the file and its folder",
    errno.EROFS: "the disk is mounted read-only",
    errno.ENOENT: "create the folder first",
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
        lock = FileLock(lock_path(path))
        try:
            lock.acquire(timeout=timeout)
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


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    if os.name == "nt":  # folders can't be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a closed file durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def working_path(path: Path) -> Path:
    """Name for a file that is being built beside `path`; leftovers of killed writers are removed.

    The caller holds the lock of `path`, so that a leftover has no living owner.
    """
    for leftover in path.parent.glob(f".{_escape_glob(path.name)}.*.partial"):
        leftover.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


def _escape_glob(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


@contextmanager
def create_atomically(path: Path | str, *, overwrite: bool = False, lock_timeout: float = 60.0) -> Iterator[Path]:
    """Build a new file beside `path`, and move it into place when it is whole.

    Parameters
    ----------
    path : path
        Where the file shall be.
    overwrite : bool
        Whether an existing file may be replaced; it stands until the new one is whole.
    lock_timeout : float
        Seconds to wait for another writer of the same file.

    Yields
    ------
    Path
        Where to build it: in the same folder, so that relative links in it stay true.

    Raises
    ------
    OverwriteError
        If `path` exists and `overwrite` is false.
    FileAccessError
        If the folder is missing, or can't be written.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        msg = "the folder of the output does not exist"
        raise FileAccessError(msg, where=str(target.parent), hint="create it first")
    with hold_lock(target, lock_timeout):
        if target.exists() and not overwrite:
            msg = "the output exists"
            raise OverwriteError(msg, where=str(target), hint="choose another name, or pass --overwrite")
        _recover_target(target, lock_timeout)
        with translate_access_errors(target, "writing"):
            building = working_path(target)
            try:
                yield building
                if target.exists():
                    shutil.copymode(target, building)
                move_into_place(building, target)
            finally:
                building.unlink(missing_ok=True)


def _recover_target(target: Path, lock_timeout: float) -> None:
    """Bring an interrupted commit of a file that is to be replaced to its end: afterwards its journal is void."""
    from nwbpipe.files._journal import journal_path
    from nwbpipe.files._recover import recover_locked

    try:
        with translate_access_errors(target, "finishing an interrupted commit"):
            recover_locked(target, lock_timeout)
    except (DamagedFileError, FileAccessError):  # nothing of it can be saved, and it shall be overwritten
        journal_path(target).unlink(missing_ok=True)


def move_into_place(building: Path, target: Path) -> None:
    """Sync the finished file, give it its name in one step, and sync the folder."""
    sync_file(building)
    building.replace(target)
    sync_folder(target.parent)
