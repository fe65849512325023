"""The lock that writers of one file share, and errors of the operating system in words of ours."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import Timeout

from nwbpipe.disk import refuse_special
from nwbpipe.errors import FileAccessError, LockedFileError, NwbpipeError
from nwbpipe.files._network_disk import may_lock, read_mount
from nwbpipe.files._node_lock import POLL_S, SharedLock

LOCK_TIMEOUT_S = 60.0
NETWORK_TIMEOUT_S = 120.0  # a server keeps the lock of a node that lost its power, for 90 s as a rule
# Seconds: between two times that who waits sets; after that long without one, nobody waits.
_ANNOUNCE, _QUIET = 0.1, 0.5
_COURTESY, _RECENT = 3.0, 5.0  # that a lock is left to others at most; after it was let go
_released: dict[Path, tuple[float, int | None]] = {}  # when this process let a lock go, and its file's time before

_REMEDIES = {
    errno.ENOSPC: "free space on that disk; the file is as it was",
    errno.EDQUOT: "free space within your quota; the file is as it was",
    errno.EFBIG: "the file system or a limit (ulimit -f) refuses a file of that size; the file is as it was",
    errno.EACCES: "ask for write permission on the file and its folder",
    errno.EPERM: "ask for write permission on the file and its folder",
    errno.EROFS: "the disk is mounted read-only",
    errno.ENOENT: "create the folder first",
    errno.ELOOP: "remove the symbolic link that lies there",
    errno.ESTALE: "another machine replaced it meanwhile: run the command again; locks may not reach that machine",
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
    """Wait before this process takes a lock again that it has just let go, if another process waits for it.

    Who waits looks every few milliseconds, and sets the time of the lock's file meanwhile. A process that commits in
    a loop would take the lock again before anybody looks, and others would wait for ever.
    """
    released, own_time = _released.pop(path, (0.0, None))
    began = time.monotonic()
    last_change, file_time = began, _read_time(path)
    if began - released > _RECENT or file_time in (None, own_time):
        return
    while time.monotonic() - began < _COURTESY and time.monotonic() - last_change < _QUIET:
        time.sleep(POLL_S)
        if _read_time(path) != file_time:
            last_change, file_time = time.monotonic(), _read_time(path)


def _read_time(path: Path) -> int | None:
    try:
        return lock_path(path).lstat().st_mtime_ns
    except OSError:
        return None


def _acquire(lock: SharedLock, path: Path, timeout: float) -> None:
    """Take a lock; while another process holds it, say that this one waits."""
    end = time.monotonic() + timeout
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        if timeout <= 0:
            raise
    while True:
        with suppress(OSError, NotImplementedError):
            os.utime(lock_path(path), follow_symlinks=False)
        try:
            lock.acquire(timeout=max(min(max(_ANNOUNCE, lock.poll_s), end - time.monotonic()), 0))
            return
        except Timeout:
            if time.monotonic() >= end:
                raise


def _hint_at_wait(timeout: float, *, is_network: bool) -> str:
    hint = "wait for it to end, or give more time"
    if is_network:
        hint += ": the lock of a machine that lost its power stays for 90 s as a rule"
        if timeout < NETWORK_TIMEOUT_S:
            hint += f" (--lock-timeout {NETWORK_TIMEOUT_S:g})"
    return hint


@contextmanager
def hold_lock(path: Path, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the writers' lock of the file `path`.

    The lock is the operating system's, on a hidden file beside `path`: it ends with the process that holds it.

    Parameters
    ----------
    path : Path
        The file to be written; it need not exist.
    timeout : float
        Seconds to wait for another writer. The default becomes 120 s on a network disk, where the lock of a machine
        that lost its power stays for longer than 60 s.

    Raises
    ------
    LockedFileError
        If another process still holds it after `timeout`.
    FileAccessError
        If the disk has no locks, or they don't reach other machines.
    """
    with translate_access_errors(path, "locking"):
        refuse_special(lock_path(path))
        is_locking = may_lock(path, lock_path(path))
    if not is_locking:
        yield
        return
    with translate_access_errors(path, "locking"):
        lock = SharedLock(lock_path(path))
        if timeout == LOCK_TIMEOUT_S and lock.is_network:
            timeout = NETWORK_TIMEOUT_S
        try:
            _let_others_go_first(path)
            _acquire(lock, path, timeout)
        except Timeout as error:
            msg = "another process is writing this file"
            raise LockedFileError(
                msg,
                where=str(path),
                expected=f"the lock within {timeout:g} s",
                hint=_hint_at_wait(timeout, is_network=lock.is_network),
            ) from error
    taken = _read_time(path)
    try:
        yield
    finally:
        lock.release()
        _released[path] = time.monotonic(), taken


def is_time_past(path: Path, time_ns: int) -> bool:
    """Return True if the clock by which a file's disk dates changes has gone on since a time (of a change).

    Whatever changes the file from now on gives it a later time of change, which no program can put back. The disk is
    asked for its time: the mode of the writers' lock beside the file is set to what it is. False also where there is
    no such lock, where it is not ours, and on network disks, as other machines may date their changes themselves.
    """
    if os.name != "posix":
        return False
    try:
        descriptor = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        lock, file = os.fstat(descriptor), path.lstat()
        if not (stat.S_ISREG(lock.st_mode) and stat.S_ISREG(file.st_mode) and lock.st_dev == file.st_dev):
            return False
        if not _is_dated_here(path.parent, file.st_dev):
            return False
        os.fchmod(descriptor, stat.S_IMODE(lock.st_mode))
        return os.fstat(descriptor).st_ctime_ns > time_ns
    except OSError:
        return False
    finally:
        os.close(descriptor)


@lru_cache(maxsize=256)
def _is_dated_here(folder: Path, _device: int) -> bool:
    """Return True if this machine's kernel alone dates the changes in a folder."""
    mount = read_mount(folder)
    return bool(mount.kind) and not mount.is_network and not mount.kind.startswith("fuse")
