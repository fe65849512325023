"""Looks at files that no cache answers: a client of NFS may hear of another machine's change a minute later.

NFS asks the server when a file or a folder is opened, and surely only then. The folder comes first: it tells which
file has the name by now, or that none has it any more.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from nwbpipe.disk import open_recalled

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_TABLE = Path("/proc/self/mountinfo")
_TABLE_S = 10.0
_mounted: tuple[float, frozenset[int]] = (float("-inf"), frozenset())


def stat_now(path: Path | str) -> os.stat_result:
    """Return the state of a file as its server knows it, on any disk."""
    try:
        return _open_and_stat(Path(path))
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
    return _open_and_stat(Path(path))  # it was replaced in that moment


def read_stat(path: Path | str) -> os.stat_result:
    """Return the state of a file: on NFS as its server knows it, elsewhere by `os.stat` alone, which is quicker."""
    try:
        cached = os.stat(path)  # noqa: PTH116 - quick
    except OSError as error:
        is_old = error.errno == errno.ESTALE or (isinstance(error, FileNotFoundError) and _is_below_nfs(Path(path)))
        if not is_old:
            raise
        return stat_now(path)
    is_plain = stat.S_ISREG(cached.st_mode) or stat.S_ISDIR(cached.st_mode)
    return stat_now(path) if is_plain and cached.st_dev in _nfs_devices() else cached


def exists_now(path: Path | str) -> bool:
    """Return True if there is a file or folder, on NFS as the server knows it."""
    try:
        read_stat(path)
    except (OSError, ValueError):
        return False
    return True


def _open_and_stat(path: Path) -> os.stat_result:
    _ask_for_names(path.parent)
    try:
        descriptor = open_recalled(path, _FLAGS)
    except PermissionError:
        return path.stat()
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _ask_for_names(folder: Path) -> None:
    """Let the client forget which names a folder had, if the folder has changed since."""
    try:
        os.close(os.open(folder, _FLAGS))
    except FileNotFoundError:
        if folder.parent != folder:
            _ask_for_names(folder.parent)
            with suppress(OSError):
                os.close(os.open(folder, _FLAGS))
    except OSError:
        return


def _is_below_nfs(path: Path) -> bool:
    devices = _nfs_devices()
    if devices:
        for folder in path.parents:
            with suppress(OSError, ValueError):
                return folder.stat().st_dev in devices
    return False


def _nfs_devices() -> frozenset[int]:
    """Return the numbers of the file systems that are mounted by NFS, as far as the system tells (Linux)."""
    global _mounted
    now = time.monotonic()
    if now - _mounted[0] > _TABLE_S:
        devices = set()
        with suppress(OSError):
            for line in _TABLE.read_bytes().split(b"\n"):
                fields, _, described = line.partition(b" - ")
                if described.startswith((b"nfs ", b"nfs4 ")):
                    major, _, minor = fields.split(b" ")[2].partition(b":")
                    devices.add(os.makedev(int(major), int(minor)))
        _mounted = now, frozenset(devices)
    return _mounted[1]
