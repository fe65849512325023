"""Files that appear whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nwbpipe.disk import copy_attributes, refuse_special, remove_file
from nwbpipe.errors import DamagedFileError, FileAccessError, OverwriteError
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._journal import journal_path
from nwbpipe.files._network_disk import is_abandoned, mark_machine
from nwbpipe.files._recover import recover_locked
from nwbpipe.files._write_lock import hold_lock, translate_access_errors

logger = logging.getLogger("nwbpipe")


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

    The caller holds the lock of `path`, so that a leftover has no living owner, but on a network disk: where locks
    don't reach, another machine may be building its file.
    """
    for leftover in find_partials(path):
        pid, _, digits = leftover.suffixes[-2].lstrip(".").partition("-")
        if is_abandoned(leftover, int(pid), digits[:8]):
            remove_file(leftover)
    return path.with_name(f".{path.name}.{os.getpid()}-{mark_machine()}{secrets.token_hex(4)}.partial")


def find_partials(path: Path) -> list[Path]:
    """Return the files beside `path` that killed writers left unfinished; a folder or link of such a name is none."""
    form = re.compile(re.escape(f".{path.name}.") + r"\d+-[0-9a-f]{8,16}\.partial")
    names: list[str] = []
    with suppress(OSError), os.scandir(path.parent) as entries:  # a folder that can't be listed fails elsewhere
        names += [e.name for e in entries if form.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    return [path.with_name(name) for name in sorted(names)]


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
        If `path` exists and `overwrite` is false; also if another program put it there in the meantime.
    FileAccessError
        If the folder is missing, or can't be written.
    """
    target = Path(path).resolve()
    if not target.exists():
        refuse_special(Path(path))  # a link to nothing: whoever put it there would choose what is written
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
                if not overwrite:
                    _place_new(building, target)
                else:
                    if target.exists():
                        keep_attributes(target, building)
                    move_into_place(building, target)
            finally:
                remove_file(building)


def _place_new(building: Path, target: Path) -> None:
    """Give the finished file its name as `move_into_place` does, unless another program has put a file there."""
    sync_file(building)
    try:
        os.link(building, target)
        is_taken = False
    except FileExistsError:  # NFS may say so of the link that it has just made
        is_taken = not building.samefile(target)
    except OSError:  # the disk has no hard links
        is_taken = os.path.lexists(target)
        if not is_taken:
            building.replace(target)
    if is_taken:
        msg = "another program wrote the output meanwhile"
        raise OverwriteError(msg, where=str(target), hint="choose another name, or pass --overwrite")
    sync_folder(target.parent)


def _recover_target(target: Path, lock_timeout: float) -> None:
    """Bring an interrupted commit of a file that is to be replaced to its end: afterwards its journal is void."""
    try:
        with translate_access_errors(target, "finishing an interrupted commit"):
            recover_locked(target, lock_timeout)
    except (DamagedFileError, FileAccessError):  # nothing of it can be saved, and it shall be overwritten
        remove_file(journal_path(target))


def refuse_if_changed(path: Path, before: os.stat_result) -> None:
    """Refuse to replace a file that another program changed since it was in the state `before` (of `stat_now`)."""
    now = stat_now(path)
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        msg = "another program changed the file meanwhile"
        raise FileAccessError(msg, where=str(path), hint="nothing was written: run the command again")


def keep_attributes(target: Path, building: Path) -> None:
    """Give a new file the mode, owner and attributes of the one that it is to replace; say what can't be kept."""
    refused = copy_attributes(target, building)
    if refused:
        logger.warning("%s: the system does not let the new file keep %s", target, ", ".join(refused))


def move_into_place(building: Path, target: Path) -> None:
    """Sync the finished file, give it its name in one step, and sync the folder."""
    sync_file(building)
    building.replace(target)
    sync_folder(target.parent)
