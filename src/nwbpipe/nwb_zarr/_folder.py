"""A folder of Zarr on this machine, looked at without Zarr."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from nwbpipe.errors import FileAccessError, UnsafeFileError

_MARKERS = (".zgroup", ".zmetadata", "zarr.json")


def is_zarr_folder(path: Path) -> bool:
    """Return True if a path is a folder of Zarr, of whatever version."""
    return any((path / name).is_file() for name in _MARKERS)


def look_at_folder(path: Path) -> tuple[str, int]:
    """Return a token of the state of a folder, which is another one after each change, and its size in bytes.

    Raises
    ------
    UnsafeFileError
        If a symbolic link, a pipe or a device is in it.
    FileAccessError
        If it can't be read.
    """
    state, size, folders = hashlib.sha256(), 0, [str(path)]
    try:
        while folders:
            folder = folders.pop()
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    if not entry.is_file(follow_symlinks=False):
                        kind = "a symbolic link" if entry.is_symlink() else "a pipe or a device"
                        msg = f"{kind} is in the NWB-Zarr folder"
                        raise UnsafeFileError(msg, where=entry.path, hint="copy the folder without links")
                    stat = entry.stat(follow_symlinks=False)
                    size += stat.st_size
                    state.update(f"{entry.path}\0{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}\n".encode())
    except OSError as error:
        msg = f"the NWB-Zarr folder can't be read: {error.strerror}"
        raise FileAccessError(msg, where=str(error.filename or path), hint="check its permissions") from error
    return state.hexdigest(), size
