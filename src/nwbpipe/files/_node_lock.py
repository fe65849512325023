"""Locks that the clients of an NFS server meet, for a writer on the server itself.

The server holds what its clients lock by `flock` as POSIX locks, of which `flock` there knows nothing. A lock of an
open file description (`fcntl`, Linux) meets them. Unlike an older POSIX lock it belongs to a descriptor: threads
exclude each other, and no closing of another descriptor of the same file lets it go.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nwbpipe.files._network_disk import NO_LOCKS, read_mount

POLL_S = 0.005
_NETWORK_POLL_S = 0.2  # each look is three requests to the server
_WITHOUT = NO_LOCKS | {errno.EINVAL}  # Linux before 3.15


def may_have_nodes(path: Path) -> bool:
    """Return True if this machine may serve the disk to others: it is a disk of its own.

    On a client both kinds of locks go to the server, where they would exclude each other.
    """
    return sys.platform == "linux" and not read_mount(path).is_network


def lock_nodes_out(descriptor: int, *, exclusive: bool) -> bool:
    """Take the lock of an open file, or turn one into the other; False if a node holds it.

    It ends with the descriptor. A disk that has no such locks is served to nobody: True.
    """
    if sys.platform != "linux":
        return True
    import fcntl

    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _pack(fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno not in _WITHOUT:
            raise
    return True


def _pack(kind: int) -> bytes:
    """Return a `struct flock` for a whole file."""
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)


class SharedLock:
    """A lock on a file that holds for the processes of this machine, and for machines that share the disk.

    Parameters
    ----------
    path : Path
        The file that is locked; it is created, and stays.

    Attributes
    ----------
    is_network : bool
        True if it lies on a network disk.
    poll_s : float
        Seconds between two looks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path)
        self._descriptor: int | None = None
        self.is_network = read_mount(path.parent).is_network
        self.poll_s = _NETWORK_POLL_S if self.is_network else POLL_S

    def acquire(self, timeout: float) -> None:
        """Take the lock.

        Raises
        ------
        Timeout
            Of `filelock`: somebody else holds it for longer than `timeout` seconds.
        """
        end = time.monotonic() + timeout
        self._lock.acquire(timeout=timeout, poll_interval=self.poll_s)
        try:
            if not self.is_network and sys.platform == "linux":
                self._wait_for_nodes(end)
        except BaseException:
            self.release()
            raise

    def _wait_for_nodes(self, end: float) -> None:
        # A node that holds the file for itself gives it back when it is opened; meanwhile it can't be.
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            with suppress(BlockingIOError):
                if self._descriptor is None:
                    self._descriptor = os.open(self.path, flags)
                if lock_nodes_out(self._descriptor, exclusive=True):
                    return
            if time.monotonic() >= end:
                raise Timeout(str(self.path))
            time.sleep(POLL_S)

    def release(self) -> None:
        """Let the lock go."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            _unlock(descriptor)  # a child that was forked meanwhile holds the descriptor, too
            os.close(descriptor)
        self._lock.release()


def _unlock(descriptor: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _pack(fcntl.F_UNLCK))
