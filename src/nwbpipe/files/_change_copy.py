"""A change to one HDF5 file by copy and rename: for where `_journaled` can't serve.

The file is copied (or cloned, where the file system can), the copy is changed, synced and renamed. A reader that has
the old file open keeps it. It costs a copy of the file.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import h5py

from nwbpipe.disk import create_file, remove_file
from nwbpipe.errors import DamagedFileError, FileAccessError, LockedFileError
from nwbpipe.files._atomic import keep_attributes, move_into_place, refuse_if_changed, working_path
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._screening import is_self_contained
from nwbpipe.files._sink import open_for_writing

_MOST = 2**30
_CAN_T_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}
_FICLONE = 0x40049409  # <linux/fs.h>: share the blocks of another file


@contextmanager
def open_copy(target: Path, *, check: Callable[[h5py.File], None] | None = None) -> Iterator[h5py.File]:
    """Change `target`, whose writers' lock the caller holds."""
    working = working_path(target)
    try:
        initial_stat = _copy(target, working)
        with ExitStack() as stack:
            yield stack.enter_context(_open_for_change(target, working))
            with _translate_close_errors(target):
                stack.close()
        if check is not None:
            with h5py.File(working, "r") as finished:
                check(finished)
        refuse_if_changed(target, initial_stat)
        keep_attributes(target, working)
        move_into_place(working, target)
    finally:
        remove_file(working)


@contextmanager
def _translate_close_errors(target: Path) -> Iterator[None]:
    """Turn HDF5's own errors, when it writes its last bytes to a disk that went away, into one of access."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        msg = "the working copy could not be written to its end"
        hint = "the file is as it was: run the command again when the disk answers"
        raise FileAccessError(msg, where=str(target), found=str(error), hint=hint) from error


def _open_for_change(target: Path, working: Path) -> AbstractContextManager[h5py.File]:
    """Open the copy so that a full disk is an error.

    Where a part of the file lies in another one, HDF5 has to find it by itself, and a full disk may end in a crash.
    """
    return open_for_writing(working, "r+") if is_self_contained(target) else h5py.File(working, "r+")


def _copy(source: Path, destination: Path) -> os.stat_result:
    """Copy `source` while no other program writes it; return its state at that moment."""
    with _open_for_copying(source):
        initial_stat = stat_now(source)
        with os.fdopen(create_file(destination), "wb") as new:
            copied = _clone(source, new)
        if not copied:
            free = shutil.disk_usage(source.parent).free
            if free < initial_stat.st_size:
                msg = "no space for the working copy"
                raise FileAccessError(
                    msg,
                    where=str(source.parent),
                    expected=f"{initial_stat.st_size / 1e6:.0f} MB free",
                    found=f"{free / 1e6:.0f} MB",
                    hint="free space on that disk; the file is as it was",
                )
            with destination.open("r+b") as new:  # the name is ours alone
                copied = _copy_at_server(source, new)
            if not copied:
                shutil.copyfile(source, destination)
    return initial_stat


def _open_for_copying(path: Path) -> h5py.File:
    """Open with HDF5's shared lock, which a program that is writing the file does not allow."""
    try:
        return h5py.File(path, "r")
    except BlockingIOError as error:
        msg = "another program has the file open for writing"
        raise LockedFileError(msg, where=str(path), hint="close it there, then try again") from error
    except (PermissionError, FileNotFoundError):
        raise
    except OSError as error:
        msg = "the file can't be opened as HDF5"
        raise DamagedFileError(msg, where=str(path), found=str(error), hint="restore it from a copy") from error


def _clone(source: Path, new: IO[bytes]) -> bool:
    """Let the file system share the blocks of `source` (btrfs, XFS, APFS, …), or say that it can't."""
    try:
        from fcntl import ioctl
    except ImportError:
        return False
    with suppress(OSError), source.open("rb") as old:
        ioctl(new.fileno(), _FICLONE, old.fileno())
        return True
    return False


def _copy_at_server(source: Path, new: IO[bytes]) -> bool:
    """Let the system copy, which on a network disk leaves it to the server; return False if it can't."""
    if not hasattr(os, "copy_file_range"):
        return False
    with source.open("rb") as old:
        while True:
            try:
                if os.copy_file_range(old.fileno(), new.fileno(), _MOST) == 0:
                    return os.fstat(old.fileno()).st_size == os.fstat(new.fileno()).st_size
            except OSError as error:
                if error.errno in _CAN_T_COPY:
                    return False
                raise
