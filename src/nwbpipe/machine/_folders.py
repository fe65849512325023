"""Private folders of the user: nobody else can prepare, read or exchange what lies in them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from platformdirs import user_cache_dir

from nwbpipe.errors import FileAccessError

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def locate_private_folder(path: Path, *, named: bool = False) -> Path:
    """Return the folder that :func:`make_private_folder` makes or takes; nothing is made."""
    if named and hasattr(os, "getuid") and path.exists() and not _is_closed(path.stat()):
        return path / f"nwbpipe-{os.getuid()}"
    return path


def make_private_folder(path: Path, *, variable: str, named: bool = False) -> Path:
    """Make a folder with the mode 0700, or take it if it is the user's own; return it.

    Parameters
    ----------
    path : Path
        The folder. A folder of the user's that others may read or write gets the mode 0700.
    variable : str
        Environment variable with which the user can name another folder, for messages.
    named : bool
        True if the user named this folder, whose links and mode are the user's decision. Where others can write in
        it, as in a scratch disk that everybody shares, a private folder below it is taken.

    Raises
    ------
    FileAccessError
        A link, a file or a folder of another user is in its place, or the folder can't be made.
    """
    try:
        if named:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            private = locate_private_folder(path, named=True)
            if private == path:
                return path
            path = private
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            _take(path, variable)
    except OSError as error:
        msg = f"the folder can't be made: {error.strerror or error}"
        raise FileAccessError(
            msg, where=str(path), hint=f"set {variable} to a folder with space and permission"
        ) from error
    return path


def make_cache_folder() -> Path:
    """Return the folder of caches, ``NWBPIPE_CACHE`` or that of the user; it is private.

    A folder that can't be made is returned all the same: what can't be cached is done again.

    Raises
    ------
    FileAccessError
        Another user could have prepared the folder, and what it holds.
    """
    chosen = os.environ.get("NWBPIPE_CACHE")
    path = Path(chosen) if chosen else Path(user_cache_dir("nwbpipe"))
    try:
        return make_private_folder(path, variable="NWBPIPE_CACHE", named=bool(chosen))
    except FileAccessError as error:
        if isinstance(error.__cause__, OSError):
            return path
        raise


def temporary_folder(name: str) -> Path:
    """Return the path of the user's own folder `name` in the temporary folder; it need not exist."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"{name}-{user}"


def _take(path: Path, variable: str) -> None:
    """Take a folder that exists, and close it for others; refuse it if another user could have prepared it."""
    status = path.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if stat.S_ISDIR(status.st_mode) and mine:
        if hasattr(os, "getuid") and stat.S_IMODE(status.st_mode) & 0o077:
            path.chmod(0o700)
        return
    if stat.S_ISLNK(status.st_mode):
        found = "a symbolic link"
    elif not stat.S_ISDIR(status.st_mode):
        found = "a file"
    else:
        found = f"a folder of the user {status.st_uid}"
    msg = "the folder for unfinished work could have been prepared by another user"
    raise FileAccessError(
        msg, where=str(path), expected="no folder yet, or a folder of your own", found=found,
        hint=f"remove it, or set {variable} to a folder of your own",
    )  # fmt: skip


def _is_closed(status: os.stat_result) -> bool:
    """Return True if the user owns a folder, and nobody else can write in it."""
    return status.st_uid == os.getuid() and not status.st_mode & _OTHERS
