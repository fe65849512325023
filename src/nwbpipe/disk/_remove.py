"""Remove what nwbpipe made, and nothing else.

Every removal in the package goes through these two functions, or is in the list of ``tests/disk/test_removals.py``,
which says for each why it can't hit anything of the user's.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple


class FileMark(NamedTuple):
    """Device and inode of a file or folder that nwbpipe made.

    The system gives an inode again once its file is gone: a mark is for the time in which its file stands.
    """

    device: int
    inode: int


def mark_of(path: Path | int) -> FileMark:
    """Return the mark of a file, by its path (a link is not followed) or descriptor."""
    status = os.fstat(path) if isinstance(path, int) else path.lstat()
    return FileMark(status.st_dev, status.st_ino)


def remove_file(path: Path, made: FileMark | None = None) -> bool:
    """Remove a file of ours; return True if it was removed.

    What is not a regular file stays: a link, a pipe or a folder at a name of ours is someone else's. So does a file
    whose mark is not `made`: another file has come to the name.

    Parameters
    ----------
    path : Path
        A name that nwbpipe chose.
    made : FileMark, optional
        Mark of the file when it was made. Without one, the name has to be one that nobody else uses.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(status.st_mode) or (made is not None and made != (status.st_dev, status.st_ino)):
        return False
    path.unlink(missing_ok=True)
    return True


def remove_folder(path: Path, made: FileMark | None = None) -> bool:
    """Remove a folder of ours with all that is in it; return True if it is gone.

    Links in it are removed, not followed. A link at its own name, or another folder than `made`, stays.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISDIR(status.st_mode) or (made is not None and made != (status.st_dev, status.st_ino)):
        return False
    shutil.rmtree(path, ignore_errors=True)  # with descriptors: a folder exchanged for a link meanwhile stays
    return not os.path.lexists(path)
