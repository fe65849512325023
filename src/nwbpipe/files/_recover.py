"""Finish or undo an interrupted commit before the file is used."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from nwbpipe.disk import refuse_special
from nwbpipe.errors import DamagedFileError, FileAccessError, NwbpipeError
from nwbpipe.files._commit import Placement
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._hdf5_lock import acquire_hdf5_lock
from nwbpipe.files._journal import SIGNATURE, SUPERBLOCK, Journal, journal_path, read_journal, superblock_digest
from nwbpipe.files._network_disk import is_stale
from nwbpipe.files._os import SYSTEM, System
from nwbpipe.files._write_lock import hold_lock, translate_access_errors
from nwbpipe.stores import is_remote

T = TypeVar("T")
_STALE_TRIES = 5
_PAUSE = 0.005  # seconds


def recover(path: Path | str, *, lock_timeout: float = 60.0) -> None:
    """Finish or take back a commit of the file `path` that was interrupted; usually there is none.

    A commit that is under way in another process is waited for.

    Raises
    ------
    DamagedFileError
        If what was left is damaged, or belongs to another file. Nothing is changed then.
    FileAccessError
        If the file can't be written, or another program changed it meanwhile.
    LockedFileError
        If another process holds the file for longer than `lock_timeout` seconds.
    """
    target = Path(path).resolve()
    if not is_commit_unfinished(target):
        return
    with hold_lock(target, lock_timeout), translate_access_errors(target, "finishing an interrupted commit"):
        recover_locked(target, lock_timeout)


def recover_locked(
    target: Path, lock_timeout: float, system: System = SYSTEM, placement: type[Placement] = Placement
) -> None:
    """Do what `recover` does; the caller holds the writers' lock."""
    path = journal_path(target)
    if not is_commit_unfinished(target):
        return
    refuse_special(path)
    if not target.exists():
        msg = "there is a journal of an interrupted commit, but not its file"
        raise FileAccessError(msg, where=str(target), hint=f"put the file back, or remove {path.name}")
    descriptor = system.open(target)
    try:
        acquire_hdf5_lock(system, descriptor, target, exclusive=True, timeout=lock_timeout)
        journal = system.open(path)
        try:
            finish_or_undo(placement(target, descriptor, system), journal)
        finally:
            system.close(journal)
    finally:
        system.close(descriptor)


def finish_or_undo(placement: Placement, journal: int) -> None:
    """Finish a sealed journal; take back what an unsealed one began."""
    plan = read_journal(placement.system, journal, placement.target)
    if plan is None:  # nothing had been done
        placement.remove_journal()
        return
    header, state = plan.header, TargetState(placement, plan)
    if placement.system.inode(placement.descriptor) != header.inode:
        raise _damaged_error(placement, "the journal of an interrupted commit belongs to another file")
    if plan.sealed:
        if not state.matches_journal():
            raise _damaged_error(placement, "another program changed the file after an interrupted commit")
        placement.finish(journal)
    elif state.signed:
        if state.superblock == header.before:
            placement.truncate_to(header.old_end)
        placement.remove_journal()  # another superblock: another program has been at work, and the tail is its own
    else:
        raise _damaged_error(placement, "the journal of an interrupted commit is damaged")


class TargetState:
    """Present state of the file that a journal belongs to."""

    def __init__(self, placement: Placement, plan: Journal) -> None:
        self._placement, self._plan = placement, plan
        block = self._read(SUPERBLOCK, plan.header.superblock)
        self.signed = block.startswith(SIGNATURE)
        self.superblock = superblock_digest(block)
        self.size = placement.system.size(placement.descriptor)

    def _read(self, size: int, offset: int) -> bytes:
        return self._placement.system.read(self._placement.descriptor, size, offset)

    def matches_journal(self) -> bool:
        """Return True if a sealed commit may have left the file in this state.

        While the signature is blank, nobody else can have changed the file, and its pages may be torn. With the
        signature there, the pages are all old or all new.
        """
        header = self._plan.header
        sizes = {max(header.old_end, header.new_end), header.new_end}
        if self.size not in sizes or self.superblock not in (header.before, header.after):
            return False
        if not self.signed:
            return True
        now = [hashlib.sha256(self._read(page.length, page.offset)).digest() for page in self._plan.pages]
        return now in ([page.before for page in self._plan.pages], [page.after for page in self._plan.pages])


def _damaged_error(placement: Placement, what: str) -> DamagedFileError:
    return DamagedFileError(
        what,
        where=str(placement.target),
        found=placement.path.name,
        hint="nothing was changed: restore the file from a copy, or remove the journal if the file opens without it",
    )


def read_settled(path: Path, read: Callable[[], T], *, lock_timeout: float = 60.0) -> T:
    """Return ``read()``; if it fails because a commit came between, wait for its end and read again.

    What HDF5 says of metadata that are half old and half new may be any of its errors.
    """
    end = time.monotonic() + lock_timeout
    stale_tries = _STALE_TRIES
    while True:
        recover(path, lock_timeout=lock_timeout)
        initial_times = _times(path)
        try:
            return read()
        except (OSError, KeyError, RuntimeError, ValueError, NwbpipeError) as error:
            is_quiet = not is_commit_unfinished(path) and _times(path) == initial_times
            if stale_tries > 0 and is_stale(error):  # another machine gave the name to a new file
                stale_tries -= 1
            elif is_quiet or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


@contextmanager
def hold_off_writers(path: Path | str, hold: bool = True) -> Iterator[None]:
    """If `hold`, let no process of nwbpipe commit to a local file meanwhile, where its folder allows a lock.

    Steps that run side by side commit again and again: a reader that only tries once more may never come to its end.
    A file at a URL has no lock, and each version of it can be read as a whole.
    """
    with ExitStack() as stack:
        if hold and not is_remote(path):
            target = Path(path).resolve()
            recover(target)  # the lock is held below, and finishing a commit needs it
            with suppress(FileAccessError):
                stack.enter_context(hold_lock(target))
        yield


def _times(path: Path) -> tuple[int, int, int]:
    stat = stat_now(path)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def is_commit_unfinished(path: Path) -> bool:
    """Return True if a commit of the file is under way or was interrupted."""
    return os.path.lexists(journal_path(path))
