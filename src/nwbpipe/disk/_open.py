"""Open files that are files: a link, a pipe or a device at a file's name is refused, and nothing waits for it."""

from __future__ import annotations

import os
import stat
import time
from io import BufferedReader
from pathlib import Path

from nwbpipe.errors import FileAccessError

_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_RECALL_S = 60.0  # the kernel takes it back after 45 s (fs.lease-break-time) as a rule
_PAUSE_S = 0.02
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """Return the kind of file that a mode of `os.stat` means, e.g. "a named pipe"."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


def create_file(path: Path, *, mode: int = 0o600) -> int:
    """Make a new file, open for reading and writing; return its descriptor.

    Raises
    ------
    FileExistsError
        If anything has the name already, a link to nothing too: it is not followed.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _PLAIN, mode)


def open_recalled(path: Path | str, flags: int) -> int:
    """Open a file with ``O_NONBLOCK``; return its descriptor.

    If a client of this machine's NFS server keeps the file for itself (a delegation), it is asked for it by that, and
    waited for: it may hold bytes that are not here yet.
    """
    end = time.monotonic() + _RECALL_S
    while True:
        try:
            return os.open(path, flags | _NONBLOCK)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
        time.sleep(_PAUSE_S)


def refuse_special(path: Path, *, links: bool = False) -> None:
    """Refuse a pipe, socket, device or folder at the name of a file, and unless `links` a symbolic link.

    Nothing at the name is fine.

    Raises
    ------
    FileAccessError
    """
    try:
        mode = (path.stat() if links else path.lstat()).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise _special_error(path, mode)


def open_regular(path: Path | str, *, follow: bool = True) -> BufferedReader:
    """Open a file for reading; a pipe, socket or device is refused before it can make the reader wait.

    Parameters
    ----------
    path : path
    follow : bool
        True if a symbolic link to a file may lie at the name.

    Raises
    ------
    FileAccessError
        If it is not a regular file.
    OSError
        If it can't be opened.
    """
    flags = os.O_RDONLY | _PLAIN
    try:
        descriptor = open_recalled(path, flags if follow else flags | _NOFOLLOW)
    except OSError:
        refuse_special(Path(path), links=follow)  # a socket, or a link, can't be opened at all
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _special_error(Path(path), mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str, limit: int, *, follow: bool = True) -> bytes:
    """Return the bytes of a file, at most `limit` + 1: one more than allowed says that there are too many.

    Raises
    ------
    FileAccessError, OSError
        See `open_regular`.
    """
    with open_regular(path, follow=follow) as file:
        return file.read(limit + 1)


def _special_error(path: Path, mode: int) -> FileAccessError:
    return FileAccessError(
        "not a regular file",
        where=str(path),
        expected="a file",
        found=kind_of(mode),
        hint="remove it if you did not put it there",
    )
