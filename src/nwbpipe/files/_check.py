"""Is an HDF5 file whole, interrupted or damaged, and what lies beside it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import Timeout

from nwbpipe.disk import open_regular, remove_file
from nwbpipe.errors import FileAccessError
from nwbpipe.files._atomic import find_partials
from nwbpipe.files._dangers import Danger
from nwbpipe.files._journal import SEARCHED_BYTES, find_superblock, journal_path
from nwbpipe.files._node_lock import SharedLock
from nwbpipe.files._recover import is_commit_unfinished, recover_locked
from nwbpipe.files._write_lock import hold_lock, lock_path, translate_access_errors
from nwbpipe.machine import child_python, close_python_path, select_variables
from nwbpipe.stores import is_remote, open_location

PROBE = tuple(child_python("-m", "nwbpipe.files._probe"))
_LOCAL = ("PYTHONPATH", "COVERAGE_*")
_REMOTE = (
    *_LOCAL,
    "AWS_*",
    "AZURE_*",
    "GOOGLE_*",
    "GCS_*",
    "FSSPEC_*",
    "NWBPIPE_*",
    "*_proxy",
    "*_PROXY",
    "*_BUNDLE",
)


class FileCondition(StrEnum):
    """Condition of a file.

    ``whole``: everything in it can be reached. ``busy``: another process is writing it. ``interrupted``: a commit
    was, and its journal waits to be finished or taken back. ``damaged``: HDF5, but it can't be read through.
    ``unsafe``: it leads out of its folder, or is made to harm its reader. ``foreign``: not HDF5.
    """

    WHOLE = "whole"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"
    UNSAFE = "unsafe"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Inspection:
    """Result of `inspect_file`.

    Attributes
    ----------
    state : State
        What the file is.
    reason : str
        Why it is not whole; empty if it is.
    size : int
        Bytes.
    reclaimable : int or None
        Bytes that no reachable object accounts for: an upper bound of what `repack` gives back. It counts as lost
        what HDF5 does not tell of: half-filled pages, and the heaps of text of variable length. None if not whole.
    dangling : tuple of str
        Paths of objects and links that refer to nothing.
    leftovers : tuple of str
        Names of files beside it that a killed writer left.
    dangers : tuple of Danger
        Reasons why the file is unsafe.
    """

    state: FileCondition
    reason: str
    size: int
    reclaimable: int | None
    dangling: tuple[str, ...]
    leftovers: tuple[str, ...]
    dangers: tuple[Danger, ...] = ()


def inspect_file(path: Path | str, *, timeout: float = 120.0, probe: Sequence[str] = PROBE) -> Inspection:
    """Look at a file without changing anything; a reader that hangs or crashes harms nobody.

    Values themselves are not read (but must lie within the file): bits that flipped in them are found by hashing.

    Parameters
    ----------
    path : path
        The file, or its URL.
    timeout : float
        Seconds after which a reader that has not ended counts as hung.
    probe : sequence of str
        The command that reads the file through; for tests.

    Raises
    ------
    FileAccessError
        If it is missing or may not be read.
    """
    if is_remote(path):
        store, name = open_location(path)
        return _probe_in_process(str(path), store.stat(name).size, (), timeout, probe)
    target = Path(path).resolve()
    if not target.is_file():
        msg = "no such file"
        raise FileAccessError(msg, where=str(path), hint="check the path")
    with translate_access_errors(target, "reading"), open_regular(target) as file:
        start = file.read(SEARCHED_BYTES)
    size, busy = target.stat().st_size, is_writer_active(target)
    leftovers = () if busy else find_leftovers(target)

    def inspection(state: FileCondition, found: str) -> Inspection:
        return Inspection(state, found, size, None, (), leftovers)

    if busy:
        return inspection(FileCondition.BUSY, "another process is writing it")
    if is_commit_unfinished(target):
        return inspection(FileCondition.INTERRUPTED, "a commit was interrupted")
    if find_superblock(start) is None:
        if start.startswith(b"version https://git-lfs"):
            return inspection(FileCondition.FOREIGN, "it is a Git LFS pointer: run `git lfs pull` in its repository")
        return inspection(FileCondition.FOREIGN, f"it starts with {start[:8]!r}" if start else "it is empty")
    return _probe_in_process(str(target), size, leftovers, timeout, probe)


def _probe_in_process(
    target: str, size: int, left: tuple[str, ...], timeout: float, probe: Sequence[str]
) -> Inspection:
    """Let another process read the file through."""

    def inspection(state: FileCondition, found: str) -> Inspection:
        return Inspection(state, found, size, None, (), left)

    try:
        completed = subprocess.run(
            [*probe, "-" if is_remote(target) else target],  # a presigned URL is a secret
            input=target,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=close_python_path(select_variables(_REMOTE if is_remote(target) else _LOCAL)),
            cwd=_safe_folder(target),
        )
    except subprocess.TimeoutExpired:
        return inspection(FileCondition.DAMAGED, f"its reader did not end within {timeout:g} s")
    try:
        answer = json.loads(completed.stdout)
    except ValueError:
        last = completed.stderr.strip().splitlines()[-1:] or [""]
        return inspection(FileCondition.DAMAGED, f"its reader ended with {completed.returncode} {last[0]}".strip())
    if "access" in answer:
        raise FileAccessError("the file can't be read", where=target, found=answer["access"])
    if "foreign" in answer:
        return inspection(FileCondition.FOREIGN, answer["foreign"])
    if answer.get("dangers"):
        dangers = tuple(Danger(*danger) for danger in answer["dangers"])
        return Inspection(FileCondition.UNSAFE, dangers[0].what, size, None, (), left, dangers)
    if "error" in answer:
        return inspection(FileCondition.DAMAGED, answer["error"])
    reclaimable = max(0, size - int(answer["used"]))
    return Inspection(FileCondition.WHOLE, "", size, reclaimable, tuple(answer["dangling"]), left)


def _safe_folder(target: str) -> str | None:
    """Return the folder that the reader runs in: never one from which HDF5 would take files of the same names."""
    return None if is_remote(target) else "/"


def repair_file(path: Path | str, *, lock_timeout: float = 60.0) -> tuple[str, ...]:
    """Finish or take back an interrupted commit, and remove what dead writers left; return what was done.

    Raises
    ------
    DamagedFileError
        If the journal is damaged or of another file. Nothing is changed then.
    LockedFileError
        If another process is writing the file.
    """
    target = Path(path).resolve()
    if not target.is_file():
        msg = "no such file"
        raise FileAccessError(msg, where=str(path), hint="check the path")
    actions = []
    if not find_leftovers(target):  # nothing to do, perhaps in a folder that can't be written
        return ()
    with hold_lock(target, lock_timeout), translate_access_errors(target, "repairing"):
        if is_commit_unfinished(target):
            recover_locked(target, lock_timeout)
            actions.append("an interrupted commit was finished or taken back")
        for name in find_leftovers(target):
            if remove_file(target.with_name(name)):
                actions.append(f"{name} was removed")
    return tuple(actions)


def find_leftovers(target: Path) -> tuple[str, ...]:
    """Names of a journal and of unfinished files beside `target`; a lock file stays, and is free by itself."""
    names = [path.name for path in find_partials(target)]
    if is_commit_unfinished(target):
        names.append(journal_path(target).name)
    return tuple(sorted(names))


def is_writer_active(target: Path) -> bool:
    """Return True if a live process holds the writers' lock of a file. Creates no lock file."""
    path = lock_path(target)
    if not os.path.lexists(path) or path.is_symlink():
        return False
    lock = SharedLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
